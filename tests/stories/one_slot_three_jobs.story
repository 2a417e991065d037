# An agent with one slot runs one job at a time; the others wait and say so, and each gets its turn.
runs are held
push v1
held runs succeed
held runs succeed
held runs succeed
v1 is successful in staging on stage-1
v1 is successful in staging on stage-2
v1 is successful in staging on stage-3
every job has ended with one run
GitHub has 3 runs
