-- Notes how far the views are; never backwards. KEYS: 1 hash. ARGV: 1 field, 2 sequence.
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
if tonumber(ARGV[2]) > known then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  return 1
end
return 0
