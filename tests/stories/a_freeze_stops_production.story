# A freeze of production lets staging go on, and says why production waits.
push v0
v0 is successful in staging on stage-1
freeze production because "the sale"
push v1
v1 is successful in staging on stage-1
approve v1 for production
v1 waits in production on prod-1 because "the sale"
no job of v1 in production
thaw
v1 is successful in production on prod-1
every job has ended with one run
GitHub has 3 runs
