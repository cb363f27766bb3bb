"""What has to happen to one key at once, as scripts that run inside Valkey.

Each touches the one key it is called with, so that any server of a cluster can run it. Times
come from the caller's clock: `expires` is in its milliseconds, and the server's own expiry
is counted from its own clock, to free the memory.
"""

import hashlib
from dataclasses import dataclass

EXPIRES = b"\0"
"""The field of a map that holds its expiry."""


@dataclass(frozen=True, slots=True)
class Script:
    source: str

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


UPDATE = Script("""
local key, now, expires, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local held = redis.call('HGET', key, '\\0')
if held and tonumber(held) <= now then redis.call('DEL', key) end
local at = 7
local function words(count)
  local taken = {}
  for i = 1, tonumber(count) do taken[i] = ARGV[at]; at = at + 1 end
  return taken
end
local add, put, remove = words(ARGV[4]), words(ARGV[5]), words(ARGV[6])
for i = 1, #add, 2 do
  local was = redis.call('HGET', key, add[i])
  if was and not string.match(was, '^-?%d+$') then
    return redis.error_reply('ERR hash value is not an integer')
  end
end
for i = 1, #add, 2 do redis.call('HINCRBY', key, add[i], add[i + 1]) end
for i = 1, #put, 2 do redis.call('HSET', key, put[i], put[i + 1]) end
for i = 1, #remove do redis.call('HDEL', key, remove[i]) end
if ttl ~= '' then
  redis.call('HSET', key, '\\0', expires)
  redis.call('PEXPIRE', key, ttl)
end
return redis.call('HGETALL', key)
""")
"""ARGV: now, expires, ttl (both empty to keep what it has), how many words each of add
(pairs), put (pairs) and remove, then those words."""

CLAIM = Script("""
local held = redis.call('GET', KEYS[1])
if held then
  local expires, owner = string.match(held, '^(%d+):(.*)$')
  if tonumber(expires) > tonumber(ARGV[1]) and owner ~= ARGV[4] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[4], 'PX', ARGV[3])
return 1
""")
"""ARGV: now, expires, ttl, owner. 1 when the lease is the owner's."""

RELEASE = Script("""
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%d+:(.*)$') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
""")
"""ARGV: owner."""

TAKE = Script("""
local at, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local now, bucket, count, previous = math.floor(at), math.floor(at), 0, 0
local held = redis.call('GET', KEYS[1])
if held then
  local b, c, p = string.match(held, '^(-?%d+):(%d+):(%d+)$')
  b, c, p = tonumber(b), tonumber(c), tonumber(p)
  if b == now or b == now + 1 then bucket, count, previous = b, c, p
  elseif b == now - 1 then previous = c end
end
local room = math.floor(limit - previous * (1 - math.max(0, at - bucket)) + 1e-6)
local taken = 0
if count < room then
  taken, count = 1, count + 1
  redis.call('SET', KEYS[1], string.format('%d:%d:%d', bucket, count, previous), 'PX', ARGV[3])
end
return {taken, bucket, count, previous}
""")
"""The arithmetic of `domain.sliding_window`. ARGV: now in windows, limit, ttl. Whether it was
counted, and the window it left."""
