# Whoever runs the agent did not give it the key: the job ends at once, and names the secret and where it belongs.
push v1
v1 is invalid_integration in staging on stage-1
v1 tells in staging on stage-1 that "another-key"
v1 tells in staging on stage-1 that "secrets.dir"
every job has ended with one run
GitHub has 0 runs
