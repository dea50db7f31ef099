"""Sound against picture where somebody speaks: faces, lip geometry, mel bands, and the lag at which they agree."""
