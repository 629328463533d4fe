"""Tools of MCP servers (Model Context Protocol), which run in another process or behind a URL."""
