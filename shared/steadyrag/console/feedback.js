// What the person thinks of an answer: sent, then looked for in the record.

import { el, fill, svg } from './dom.js';
import { t } from './languages.js';
import * as server from './server.js';

/** What is said of one search. */
export class Feedback {
  #searchId;
  #opened = new Set();
  #rating = null;
  #told = el('p', { class: 'told', role: 'status', 'aria-live': 'polite' });
  #thumbs = [];

  constructor(searchId) {
    this.#searchId = searchId;
  }

  element() {
    const comment = el('input', { maxlength: '2000', size: '40', 'aria-label': t('comment') });
    comment.placeholder = t('comment');
    const thumb = (rating, label) =>
      el(
        'button',
        {
          type: 'button',
          class: 'quiet thumb',
          'aria-label': label,
          'aria-pressed': String(this.#rating === rating),
          title: label,
          data: { rating },
          on: { click: () => this.#rate(rating) },
        },
        thumbDrawn(),
      );
    this.#thumbs = [thumb(1, t('good')), thumb(-1, t('bad'))];
    const form = el(
      'form',
      {
        class: 'feedback',
        on: {
          submit: (event) => {
            event.preventDefault();
            if (comment.value.trim()) this.#send({ comment: comment.value.trim() });
          },
        },
      },
      el('span', { text: t('feedback') }),
      this.#thumbs,
      comment,
      el('button', { class: 'quiet', text: t('send') }),
    );
    return el('div', {}, form, this.#told);
  }

  /** A source was opened: said once for each. */
  opened(rank) {
    if (this.#opened.has(rank)) return;
    this.#opened.add(rank);
    this.#send({ clicked_rank: rank });
  }

  #rate(rating) {
    this.#rating = rating;
    for (const thumb of this.#thumbs) {
      thumb.setAttribute('aria-pressed', String(thumb.dataset.rating === String(rating)));
    }
    this.#send({ rating });
  }

  async #send(said) {
    this.#tell(t('sending'));
    try {
      await server.feedback({ search_id: this.#searchId, ...said });
      const holds = ([name, value]) => (one) => one[name] === value;
      const record = await server.recorded(this.#searchId, (found) =>
        found.feedback.some(holds(Object.entries(said)[0])),
      );
      this.#tell(record ? t('stored', { what: sayings([said]).join(', ') }) : t('accepted'));
    } catch (error) {
      this.#tell(t('not_stored', { why: error.message || t('failed_unreached') }));
    }
  }

  #tell(text) {
    fill(this.#told, text);
  }
}

const thumbDrawn = () =>
  svg(
    'svg',
    { viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    svg('path', {
      d: 'M3 10h4v11H3zM9 21h8.5a2 2 0 0 0 2-1.6l1.4-7A2 2 0 0 0 19 10h-5l.8-4.6A2.2 2.2 0 0 0 12.6 3L9 10z',
    }),
  );

/** Feedback as a record has it, in words. */
export function sayings(feedback) {
  return feedback.flatMap((one) => [
    ...(one.rating ? [t(one.rating > 0 ? 'said_good' : 'said_bad')] : []),
    ...(one.clicked_rank ? [t('said_click', { n: one.clicked_rank })] : []),
    ...(one.comment ? [t('said_comment', { text: one.comment })] : []),
  ]);
}
