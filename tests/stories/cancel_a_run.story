# A run in progress is cancelled on the platform, and the job ends as the platform says.
runs are held
push v1
v1 is in_progress in staging on stage-1
cancel v1 in staging on stage-1
v1 is cancelled in staging on stage-1
every job has ended with one run
GitHub has 1 runs
