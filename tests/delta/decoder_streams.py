"""The entropy-coded streams of codecs 1 and 2."""
from decoder_files import unzstd


def unfold(symbol, prediction, low, bits):
    r = -(symbol // 2) - 1 if symbol & 1 else symbol // 2
    return low + ((prediction + r - low) % (1 << bits))


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            b = self.byte()
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value


class Stream:
    def __init__(self, context_count, model, data):
        table_count = model.byte()
        self.data = Reader(data)
        if table_count == 0:
            self.states = []
            return
        self.table_of = model.take(context_count)
        self.tables = [self.read_table(model) for _ in range(table_count)]
        lanes = self.data.byte()
        self.states = [int.from_bytes(self.data.take(4), "little") for _ in range(lanes)]
        self.lane = 0

    @staticmethod
    def read_table(model):
        slots, symbol = [], -1
        while len(slots) < 4096:
            symbol += model.byte() + 1
            frequency = model.varint()
            start = len(slots)
            slots += [(symbol, frequency, start)] * frequency
        return slots

    def read(self, context):
        state = self.states[self.lane]
        symbol, frequency, start = self.tables[self.table_of[context]][state & 4095]
        state = frequency * (state >> 12) + (state & 4095) - start
        if state < 65536:
            state = state << 16 | int.from_bytes(self.data.take(2), "little")
        self.states[self.lane] = state
        self.lane = (self.lane + 1) % len(self.states)
        return symbol

    def finish(self):
        assert all(state == 65536 for state in self.states)
        assert self.data.at == len(self.data.data)


class Streams:
    def __init__(self, context_counts, payload):
        reader = Reader(payload)
        model_bytes, packed_bytes = reader.varint(), reader.varint()
        sizes = [reader.varint() for _ in context_counts]
        raw_bytes = reader.varint()
        model = Reader(unzstd(reader.take(packed_bytes), model_bytes))
        self.streams = [Stream(c, model, reader.take(s)) for c, s in zip(context_counts, sizes)]
        self.raw = int.from_bytes(reader.take(raw_bytes), "little")
        assert reader.at == len(payload)

    def signed(self, symbol):
        """The value of a signed symbol, with its raw bits."""
        token = (symbol + 1) // 2
        magnitude = token
        if token >= 16:
            bits = (token - 16) // 4 + 2
            magnitude = ((4 + (token - 16) % 4) << bits) + (self.raw & ((1 << bits) - 1))
            self.raw >>= bits
        return magnitude if symbol & 1 else -magnitude

    def finish(self):
        for stream in self.streams:
            stream.finish()
        assert self.raw == 0
