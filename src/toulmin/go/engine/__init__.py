"""The rules of Go, compiled: boards, turns, life, ladders, scoring, playouts, many games in lockstep."""
