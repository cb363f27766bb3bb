"""English questions for measuring latency on a corpus that has none of its own.

They are as long as people ask, and about what an encyclopedia holds; whether the corpus
answers them does not matter to how long a search takes.
"""

ENGLISH_QUESTIONS = (
    "According to the text, when was the first railway line in the country opened?",
    "What did the explorers hope to find when they left the harbour in spring?",
    "Which of the following animals is most likely to be found in the rainforest?",
    "Why did the government decide to move the capital to another city?",
    "How does the human body keep its temperature stable in cold weather?",
    "What is the main reason travellers are advised to carry cash in the region?",
    "Who was the first scientist to describe how the disease spreads?",
    "Which event led to the end of the alliance between the two countries?",
    "What should visitors keep in mind before climbing the volcano?",
    "How long did the construction of the temple take, according to the passage?",
    "What happens to light when it passes through a glass prism?",
    "Which language is most widely spoken in the northern part of the island?",
    "Why are solar panels less effective during the winter months?",
    "What was the role of the navy during the last year of the war?",
    "Which of these materials was used to build the oldest bridges?",
    "How did the invention of the printing press change education in Europe?",
    "What do researchers believe caused the sudden decline of the civilisation?",
    "Which team won the final match, and how many goals were scored?",
    "What kinds of food were common among the people who lived by the river?",
    "How can a student learn a second language without living abroad?",
)
