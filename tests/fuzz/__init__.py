"""`make fuzz`: what nobody would send, to every port, topic and decoder, from a seed.

Random bytes are refused by the first line of any decoder and try nothing behind it, so all input
here begins as something valid and is broken in a few places: messages as trees of MessagePack,
requests as lines, headers and bodies, and both as bytes.
"""
