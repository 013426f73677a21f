"""The engines that run: started, kept alive, replaced when engines.yaml changes, closed when nobody speaks with them.

fleet.py         all of them, and what a change makes of them
member.py        one engine instance, built and not started
keeper.py        keeps one alive
health_news.py   what gateways tell one another of engines that they share; bulletin.py, where they do
"""
