# The newest version that passes is desired; one that waits does not hold it back, and never downgrades what runs.
push v1
v1 is successful in staging on stage-1
push v2
v2 is successful in staging on stage-1
approve v2 for production
v2 is successful in production on prod-1
approve v1 for production
no job of v1 in production
every job has ended with one run
GitHub has 3 runs
