"""Plans, execution, rendering."""
