# The workflow does not take what the deployment sends: GitHub's own words end the job.
push v1
v1 is invalid_job_agent in staging on stage-1
v1 tells in staging on stage-1 that "colour"
every job has ended with one run
GitHub has 0 runs
