# A retry is the next attempt of the same run, and leaves the end of the first behind.
runs fail
push v1
v1 is failure in staging on stage-1
runs succeed
retry v1 in staging on stage-1
v1 is successful in staging on stage-1
every job has ended with one run
GitHub has 1 runs
