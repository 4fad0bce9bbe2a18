"""What the commands print: tables, pages and plots of results."""
