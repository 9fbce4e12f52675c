#!/bin/sh
# A campaign from a shell: start it, tell what happens to its calls, ask for one decision, look. Needs redis-cli and REDIS_URL.
set -eu
campaign=${1:-1}

redis-cli -u "$REDIS_URL" HSET "campaign:$campaign" status active
redis-cli -u "$REDIS_URL" XADD dialer:events '*' type agent_available queue sales agent_id 1001
redis-cli -u "$REDIS_URL" XADD dialer:events '*' type call_answered \
  data "{\"campaign_id\": $campaign, \"contact_id\": 123, \"call_id\": \"abc123\", \"agent_id\": \"1001\"}"
redis-cli -u "$REDIS_URL" XADD dialer:events '*' type call_completed \
  campaign_id "$campaign" contact_id 123 call_id abc123 duration 42

tick=$(redis-cli -u "$REDIS_URL" XADD dialer:ticks '*' kind dial campaign_id "$campaign")
echo "its result, when a replica has run it: streamdialer result $tick"
redis-cli -u "$REDIS_URL" HGETALL "campaign:$campaign"
