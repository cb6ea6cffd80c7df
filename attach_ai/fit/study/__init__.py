"""What can be fitted: priors, beliefs that are lived through, and the answers that read them."""
