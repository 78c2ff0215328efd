"""Tables, figures, claims and the HTML report."""
