"""`python -m sast_deploy` is `sast-deploy`."""

from sast_deploy.cli import main

main()
