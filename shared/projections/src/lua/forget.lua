-- Drops the oldest jobs of one index, with their histories and their places in every other index.
-- KEYS: 1 index. ARGV: 1 prefix of the workspace's keys, 2 creation in ms before which a job is old, 3 how many at most.
-- Answers how many were dropped.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local job = ARGV[1] .. 'job:' .. id
  for name in string.gmatch(redis.call('HGET', job, 'indexes') or '', '[^\n]+') do
    redis.call('ZREM', ARGV[1] .. 'jobs:' .. name, id)
  end
  redis.call('ZREM', KEYS[1], id)
  redis.call('DEL', job, ARGV[1] .. 'history:' .. id)
end
return #ids
