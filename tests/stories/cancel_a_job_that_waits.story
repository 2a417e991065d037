# A job that waits for a slot ends when somebody wishes so, and never reaches the platform.
runs are held
push v1
cancel a job that waits
held runs succeed
held runs succeed
every job has ended with one run
GitHub has 2 runs
