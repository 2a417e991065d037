# What fails is tried again after ever longer pauses, up to a bound. Then what ran before is brought back, and the version
# that failed is held on the target, until somebody wishes otherwise.
runs of v2 fail
push v1
v1 is successful in staging on stage-1
push v2
v2 fails 4 times in staging on stage-1 after pauses of 1 2 2 seconds
v1 is brought back in staging on stage-1
v2 is held in staging on stage-1 because "v2 ended as failure 4 times in a row"
v2 waits in staging on stage-1 because "held back here since"
no job of v2 in production
every job has ended with one run
GitHub has 6 runs
