"""Who is who. Personal identifiers become keyed tokens at the door; the raw values lie in the identity
vault only.
"""
