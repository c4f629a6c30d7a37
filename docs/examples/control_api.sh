# What docs/testing.md shows of the control API; SANDBOX is the address of a running sandbox.
SANDBOX=${SANDBOX:-http://127.0.0.1:8780}
# [START control]
curl -d '{"action": "rate_limit", "retry_after": 5, "times": 3}' $SANDBOX/__sandbox__/faults
curl -d '{"transaction_delay": 60}' $SANDBOX/__sandbox__/settings
curl -X POST $SANDBOX/__sandbox__/expire-tokens
curl $SANDBOX/__sandbox__/requests
curl -X POST $SANDBOX/__sandbox__/reset
# [END control]
