# A freeze holds whatever would start, a retry too; once it is lifted, that goes on.
runs fail
push v1
v1 is failure in staging on stage-1
freeze staging because "the sale"
runs succeed
retry v1 in staging on stage-1
v1 is frozen in staging on stage-1
thaw
v1 is successful in staging on stage-1
every job has ended with one run
GitHub has 1 runs
