# An older GitHub Enterprise Server accepts without naming the run: it is found by the job's id in its name.
push v1
v1 is successful in staging on stage-1
every job has ended with one run
GitHub has 1 runs
