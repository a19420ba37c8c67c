"""What must happen at once in Redis, as Lua. All keys of one call have the same hash tag.

Stamps and the place of things in an envelope are described in ``store.envelope``.
Must not know: connections, who asks.
"""

from __future__ import annotations

from hashlib import sha1

__all__ = [
    "ACQUIRE",
    "AHEAD",
    "ALL",
    "BACK_OFF",
    "BEAT",
    "DISCARD",
    "MAX_VARIANTS",
    "ONCE",
    "PURGE",
    "PUT",
    "RELEASE",
    "REMIND",
    "RESTING",
    "TRIAL",
    "TRIED",
    "Script",
]

#: Variants kept under one key; the oldest goes first.
MAX_VARIANTS = 16


class Script:
    """A script and the name Redis gives it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest()

    def __call__(self, keys: list[bytes], *args: bytes | str | int) -> tuple[bytes | str | int, ...]:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


# When the value at a key began to be fetched, and its body's place; nil when it is no entry of ours.
_STAMP = """
local function stamp(key)
  local head = redis.pcall('GETRANGE', key, 0, 45)
  if type(head) ~= 'string' or string.sub(head, 1, 6) ~= 'txsc1E' then return nil end
  local when = string.sub(head, 7, 26)
  if not string.match(when, '^%d+$') or #when ~= 20 then return nil end
  return when, string.sub(head, 27, 42), tonumber(string.sub(head, 43, 46)) or 0
end
-- A body that is being replaced may still be being read.
local function leave(base, body, pieces)
  if body and string.match(body, '^%x+$') then
    for n = 0, pieces - 1 do redis.call('PEXPIRE', base .. 'b:' .. body .. ':' .. n, 10000) end
  end
end
-- When the key was last discarded; before any stamp when nothing is known of that. What is no stamp there goes.
local function discarded(key)
  local cut = redis.pcall('GET', key)
  if not cut then return '' end
  if type(cut) == 'string' and #cut == 20 and string.match(cut, '^%d+$') then return cut end
  redis.call('DEL', key)
  return ''
end
"""

#: Store an entry unless a newer one is there or the key was discarded after its fetch began. 1: stored, 0: not.
#: KEYS entry, discarded, marker, index; ARGV base, stamp, milliseconds, envelope, [variant, row, most variants]
PUT = Script(
    _STAMP
    + """
if discarded(KEYS[2]) >= ARGV[2] then return 0 end
local had, body, pieces = stamp(KEYS[1])
if had and had > ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
if had then leave(ARGV[1], body, pieces) end
redis.call('DEL', KEYS[3])
local variant = ARGV[5]
if not variant then return 1 end
local index = KEYS[4]
if redis.call('TYPE', index)['ok'] ~= 'hash' then redis.call('DEL', index) end
redis.call('HSET', index, variant, ARGV[6])
if redis.call('PTTL', index) < tonumber(ARGV[3]) then redis.call('PEXPIRE', index, ARGV[3]) end
local surplus = redis.call('HLEN', index) - tonumber(ARGV[7])
if surplus > 0 then
  local rows = redis.call('HGETALL', index)
  local others = {}
  for i = 1, #rows, 2 do
    if rows[i] ~= variant then others[#others + 1] = {string.sub(rows[i + 1], 7, 26), rows[i]} end
  end
  table.sort(others, function(a, b) return a[1] < b[1] end)
  for i = 1, surplus do
    local name = ARGV[1] .. 'v:' .. others[i][2]
    local old, old_body, old_pieces = stamp(name)
    if old then leave(ARGV[1], old_body, old_pieces) end
    redis.call('HDEL', index, others[i][2])
    redis.call('DEL', name)
  end
end
return 1
"""
)

#: Forget every variant whose fetch began no later than the stamp, and refuse them for a while.
#: KEYS entry, discarded, index; ARGV base, stamp, milliseconds to remember it
DISCARD = Script(
    _STAMP
    + """
local function drop(name)
  local when, body, pieces = stamp(name)
  if when and when > ARGV[2] then return false end
  if when then leave(ARGV[1], body, pieces) end
  redis.call('DEL', name)
  return true
end
drop(KEYS[1])
local rows = redis.pcall('HKEYS', KEYS[3])
if rows['err'] then
  redis.call('DEL', KEYS[3])
else
  for i = 1, #rows do
    if drop(ARGV[1] .. 'v:' .. rows[i]) then redis.call('HDEL', KEYS[3], rows[i]) end
  end
end
if discarded(KEYS[2]) < ARGV[2] then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
)

# The value of a lease is "h:<token>:<failures>" while it is held, "b:<until>:<failures>" during a back-off and for a
# while after it, so that the next failure knows how many there were. `until` is in milliseconds of Redis' TIME.
_LEASE = """
local function now() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then redis.call('DEL', KEYS[1]) value = false end
local state, first, failures = string.match(value or '', '^(%a):([^:]*):(%d+)$')
if value and not state then redis.call('DEL', KEYS[1]) end
"""

#: Take the lease. 1: granted, 2: granted and nothing is known about the key, 0: held by another, or a back-off runs and
#: stands in the way. A holder is told that it is waited for, by a key with its token in its name.
#: KEYS lease; ARGV token, milliseconds, "1" when somebody waits (then a back-off does not stand in the way), base
ACQUIRE = Script(
    _LEASE
    + """
if state == 'h' then
  if ARGV[3] == '1' then redis.pcall('SET', ARGV[4] .. 'w:' .. first, '1', 'PX', ARGV[2]) end
  return 0
end
if state == 'b' and ARGV[3] ~= '1' and (tonumber(first) or 0) > now() then return 0 end
redis.call('SET', KEYS[1], 'h:' .. ARGV[1] .. ':' .. (failures or '0'), 'PX', ARGV[2])
return redis.call('EXISTS', ARGV[4] .. 'e', ARGV[4] .. 'x', ARGV[4] .. 'm') == 0 and 2 or 1
"""
)

#: Whether a back-off runs: 1 or 0. KEYS lease
RESTING = Script(_LEASE + "return state == 'b' and (tonumber(first) or 0) > now() and 1 or 0")

#: Keep the lease. 1: still ours, 0: lost. KEYS lease; ARGV token, milliseconds
BEAT = Script(
    _LEASE
    + """
if state ~= 'h' or first ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

#: Give the lease back; and tell those who wait elsewhere, if any do, that they need not wait for one another.
#: KEYS lease, [who waits]; ARGV token, [milliseconds]
RELEASE = Script(
    _LEASE
    + """
if state ~= 'h' or first ~= ARGV[1] then return 0 end
if KEYS[2] then redis.call('SET', KEYS[2], '0', 'PX', ARGV[2], 'XX') end
redis.call('DEL', KEYS[1])
return 1
"""
)

#: Turn the lease into a back-off. Answers its milliseconds; 0: the lease was lost.
#: KEYS lease; ARGV token, first back-off in ms, longest in ms, jitter as a percentage of the back-off
BACK_OFF = Script(
    _LEASE
    + """
if state ~= 'h' or first ~= ARGV[1] then return 0 end
local count = math.min(tonumber(failures), 30)
local pause = math.min(tonumber(ARGV[2]) * 2 ^ count, tonumber(ARGV[3]))
pause = math.floor(pause * tonumber(ARGV[4]) / 100)
redis.call('SET', KEYS[1], 'b:' .. string.format('%.0f', now() + pause) .. ':' .. (count + 1), 'PX', pause + 60000)
return pause
"""
)

#: How far ahead of Redis' clock a purge may lie, in seconds. By so much the clock may have been set back; what lies
#: further ahead was said by nobody.
AHEAD = 86400

# The oldest purges go: after the longest that anything is kept, or, when there are too many, into one of everything.
_PURGES = f"""
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local latest = string.format('%.0f', now + {AHEAD}000000)
local function after_all(when)
  local last = redis.call('ZREVRANGEBYSCORE', KEYS[1], latest, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if last[2] and tonumber(last[2]) >= when then return tonumber(last[2]) + 1 end
  return when
end
local function trim(most, useful, everything)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf')
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - tonumber(useful)))
  if redis.call('ZCARD', KEYS[1]) > tonumber(most) then
    local oldest = redis.call('ZPOPMIN', KEYS[1], math.ceil(tonumber(most) / 10))
    redis.call('ZADD', KEYS[1], 'GT', oldest[#oldest], everything)
  end
end
"""

#: Record a purge, by Redis' own time and later than any before it; answers the time in microseconds, as text. When it
#: was said counts where that is later, by no more than clocks that are measured may differ: what holds for who said it
#: holds for all. One of everything makes those before it superfluous.
#: KEYS purges; ARGV name of the record, most of them, microseconds they are of use, name of a purge of everything,
#: when it was said
PURGE = Script(
    _PURGES
    + """
local said = tonumber(ARGV[5])
if said > now and said - now < 1000000 then now = said end
now = after_all(now)
local text = string.format('%.0f', now)
redis.call('ZADD', KEYS[1], text, ARGV[1])
if ARGV[1] == ARGV[4] then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. text) end
trim(ARGV[2], ARGV[3], ARGV[4])
return text
"""
)

#: Record purges that were recorded before, with the times they had, where they are not known or with earlier times; and
#: that this was done. Answers how many there were.
#: KEYS purges; ARGV name of the record that says so, most of them, microseconds they are of use, name of a purge of
#: everything, [name, microseconds]...
REMIND = Script(
    _PURGES
    + """
local told = 0
for i = 5, #ARGV, 2 do
  local had = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not had or tonumber(had) < tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
    told = told + 1
  end
end
if told == 0 then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', after_all(now)), ARGV[1])
trim(ARGV[2], ARGV[3], ARGV[4])
return told
"""
)

#: Append a record that may be there already. KEYS stream; ARGV what XADD is told
ONCE = Script(
    """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local function number(id) return tonumber(string.match(id, '^%d+')) end
if last and number(last[1]) >= number(ARGV[#ARGV - 2]) then return 0 end
redis.call('XADD', KEYS[1], unpack(ARGV))
return 1
"""
)

#: Try what is said to Redis on a key that is nobody's and is gone afterwards: an error about the first that is not
#: permitted, or not known. That nothing can be written just now is another matter.
#: KEYS trial; ARGV commands, each without the key behind its first word
TRIAL = Script(
    """
local function refused(name, why)
  redis.pcall('DEL', KEYS[1])
  return redis.error_reply(name .. ' is refused: ' .. string.gsub(why, ' script: %x+, on .*', ''))
end
local answer = redis.pcall('TIME')
if answer['err'] then return refused('TIME', answer['err']) end
for _, said in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(said, '%S+') do words[#words + 1] = word end
  local name = table.remove(words, 1)
  answer = redis.pcall(name, KEYS[1], unpack(words))
  local why = type(answer) == 'table' and answer['err']
  if why then
    local later = false
    for _, word in ipairs({'OOM', 'READONLY', 'MISCONF', 'NOREPLICAS'}) do later = later or string.find(why, word) end
    if not later then return refused(name, why) end
  end
end
return 1
"""
)

#: Every command about keys that is said here or elsewhere, for ``TRIAL``.
TRIED = (
    *("DEL", "UNLINK", "SET 1", "GET", "MGET", "GETRANGE 0 0", "EXISTS", "TYPE", "PEXPIRE 1000", "PTTL", "DEL"),
    *("HSET a 1", "HGETALL", "HKEYS", "HLEN", "HDEL a"),
    *("XADD MINID 1 1-0 a 1", "XRANGE - +", "XREVRANGE + -", "DEL"),
    *("ZADD GT 1 a", "ZSCORE a", "ZCARD", "ZRANGEBYSCORE -inf +inf", "ZREVRANGEBYSCORE +inf -inf"),
    *("ZREMRANGEBYSCORE 2 2", "ZPOPMIN"),
)

ALL = (PUT, DISCARD, ACQUIRE, BEAT, RELEASE, RESTING, BACK_OFF, PURGE, REMIND, ONCE, TRIAL)
