#include "delta/report.h"

#include <algorithm>
#include <set>

#include "core/cancel.h"
#include "delta/apply.h"
#include "delta/patched_view.h"

namespace gguf_shard {
namespace {

TensorChange Summarize(const Patch& patch, const PatchTensor& tensor) {
  TensorChange change;
  change.name = tensor.name;
  change.base_name = tensor.base_name.value_or("");
  std::set<FrameMethod> methods;
  for (const PatchSpan& span : tensor.spans) {
    change.target_bytes += span.byte_size;
    if (!span.frame) {
      change.copied_bytes += span.byte_size;
      continue;
    }
    const PatchFrame& frame = patch.frames[*span.frame];
    (frame.types.base_type ? change.coded_bytes : change.added_bytes) += span.byte_size;
    change.payload_bytes += static_cast<uint64_t>(static_cast<double>(frame.payload_bytes) *
                                                  static_cast<double>(span.byte_size) /
                                                  static_cast<double>(frame.target_bytes));
    methods.insert(frame.method);
  }
  for (const FrameMethod method : methods) {
    if (!change.methods.empty()) change.methods += "+";
    change.methods += FrameMethodName(method);
  }
  return change;
}

}  // namespace

PatchSummary SummarizePatch(const PatchReader& patch) {
  PatchSummary summary;
  summary.patch_bytes = patch.file_bytes();
  uint64_t payload_bytes = 0;
  for (const PatchFrame& frame : patch.patch().frames) payload_bytes += frame.payload_bytes;
  for (const PatchFile& file : patch.patch().files) {
    summary.target_bytes += file.byte_size;
    summary.header_payload_bytes += patch.patch().frames[file.header_frame].payload_bytes;
    for (const PatchGap& gap : file.gaps) {
      summary.header_payload_bytes += patch.patch().frames[gap.frame].payload_bytes;
    }
  }
  summary.tensor_payload_bytes = payload_bytes - summary.header_payload_bytes;
  for (const PatchTensor& tensor : patch.patch().tensors) {
    summary.changes.push_back(Summarize(patch.patch(), tensor));
  }
  return summary;
}

Result<void> VerifyPatch(const PatchReader& patch, const ModelView* base, uint32_t thread_count,
                         Progress& progress) {
  progress.Start("checking", patch.file_bytes());
  for (uint32_t i = 0; i < patch.patch().frames.size(); ++i) {
    GS_TRY(CheckCancelled());
    GS_TRY(patch.ReadPayload(i));
    progress.Advance(patch.patch().frames[i].payload_bytes);
  }
  progress.Finish();
  if (base == nullptr) return {};
  GS_TRY(CheckBase(patch.patch(), *base, false));
  GS_ASSIGN(const auto view, PatchedView::Create(patch, *base));
  return ProveTarget(patch, *view, thread_count, progress);
}

}  // namespace gguf_shard
