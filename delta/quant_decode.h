// Quants decoded as they are predicted: sixteen weights at a time go from the base's levels to the
// target's quants, their contexts and symbols never leaving the registers. The same quants as
// PredictQuants, SymbolReader::Read and UnfoldQuants give one after the other.
//
// Thread-safety: what is passed is for one thread.
#pragma once

#include "delta/base_view.h"
#include "delta/quant_group.h"
#include "delta/quant_predict.h"
#include "delta/symbol_stream.h"

namespace gguf_shard {

// The quants of one group; false, with nothing done, where that needs instructions that the
// processor has not, or near the end of the stream.
bool DecodeQuants(const QuantFormat& format, const BaseView& base, const UnitPlaces& places,
                  uint32_t weight_count, SymbolReader& symbols, int8_t* quants);

}  // namespace gguf_shard
