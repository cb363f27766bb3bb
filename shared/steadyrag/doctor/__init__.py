"""Everything a deployment needs, looked at: what is wrong, and what to do about it.

checking   checks and findings, and running many of them at once
vendors    keys, models, the index
storage    tables, the documents' bucket, its queues, the cache
deployed   the account, the functions, alarms' receivers, clocks
"""
