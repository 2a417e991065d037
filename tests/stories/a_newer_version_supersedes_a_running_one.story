# Where the deployment says so, a newer version cancels the run of the older one.
runs are held
push v1
v1 is in_progress in staging on stage-1
runs succeed
push v2
v1 is cancelled in staging on stage-1
v2 is successful in staging on stage-1
every job has ended with one run
GitHub has 2 runs
