# A push becomes a version, goes to staging, waits for an approval, goes to production.
push v1
v1 is successful in staging on stage-1
v1 waits in production on prod-1 because "approval"
approve v1 for production
v1 is successful in production on prod-1
every job has ended with one run
GitHub has 2 runs
