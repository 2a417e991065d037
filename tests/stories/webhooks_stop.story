# Webhooks are for speed: without them the sweep finds out how the run ended.
runs are held
push v1
v1 is in_progress in staging on stage-1
GitHub falls silent
held runs succeed
v1 is successful in staging on stage-1
every job has ended with one run
