# GitHub starts the run and its answer never arrives: the run is found, not started again.
the next answer is lost
push v1
v1 is successful in staging on stage-1
every job has ended with one run
GitHub has 1 runs
