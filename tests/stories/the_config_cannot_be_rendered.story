# An unknown name in a template is an error, not an empty string.
push v1
v1 is invalid_job_agent in staging on stage-1
every job has ended with one run
GitHub has 0 runs
