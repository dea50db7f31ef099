"""The operator's API and page, served by aiohttp beside a running fleet."""
