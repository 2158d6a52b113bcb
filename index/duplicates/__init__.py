"""Images that look alike: found, graded, reviewed, stacked; nothing is deleted unasked."""
