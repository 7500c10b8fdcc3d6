"""What the numbers of a report say works, what does not, and what to change next."""
