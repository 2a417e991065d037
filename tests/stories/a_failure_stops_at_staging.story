# What fails in staging does not reach production, approved or not.
runs fail
push v1
v1 is failure in staging on stage-1
approve v1 for production
v1 waits in production on prod-1 because "environmentProgression"
no job of v1 in production
every job has ended with one run
GitHub has 1 runs
