"""What the jobs that write share: targets, search, figures and scores."""
