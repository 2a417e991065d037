# What GitHub refuses for good ends the job with what to do about it.
push v1
v1 is invalid_job_agent in staging on stage-1
v1 tells in staging on stage-1 that "knows no workflow missing.yml in acme/shop"
every job has ended with one run
GitHub has 0 runs
