-- Notes when the platform last confirmed a job's status, unless a later moment is noted. A job that is not shown is left alone.
-- KEYS: 1 job. ARGV: 1 the moment, in ms since the epoch.
-- Answers 1 when noted.
local known = redis.call('HMGET', KEYS[1], 'sequence', 'confirmed')
if not known[1] or (known[2] and tonumber(known[2]) >= tonumber(ARGV[1])) then
  return 0
end
redis.call('HSET', KEYS[1], 'confirmed', ARGV[1])
return 1
