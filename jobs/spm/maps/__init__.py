"""Pictures and exports of what strided pattern matching found."""
