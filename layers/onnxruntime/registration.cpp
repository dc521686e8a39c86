#include "registration.h"

#include "all_gather_op.h"
#include "arena_allocator.h"
#include "process_world.h"
#include "status.h"

#include <fmt/format.h>
#include <muster/error.h>

#include <charconv>
#include <deque>
#include <mutex>

namespace muster::onnxruntime {

namespace {

constexpr const char* tag_key = "muster.tag";
constexpr const char* timeout_key = "muster.timeout_ms";

std::chrono::milliseconds parse_timeout(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "session configuration {} is '{}', not a number of milliseconds", timeout_key, text));
  }
  return std::chrono::milliseconds(value);
}

SessionSettings settings_of(const OrtSessionOptions* options) {
  Ort::ConstSessionOptions session(options);
  SessionSettings settings{.tag = session.GetConfigEntryOrDefault(tag_key, "")};
  if (session.HasConfigEntry(timeout_key)) {
    settings.timeout = parse_timeout(session.GetConfigEntry(timeout_key));
  }
  return settings;
}

struct Domain {
  Domain(Dialect dialect, SessionSettings settings)
      : op(dialect, std::move(settings)),
        domain(dialect == Dialect::muster ? "muster" : "com.microsoft") {
    domain.Add(&op);
  }

  AllGatherOp op;
  Ort::CustomOpDomain domain;
};

// The domain with an operator for these settings; sessions with equal settings share it. Options
// and sessions refer to it, and nobody tells when the last is gone.
OrtCustomOpDomain* domain_for(Dialect dialect, const SessionSettings& settings) {
  static std::mutex mutex;
  static auto& domains = *new std::deque<Domain>;
  const std::lock_guard lock(mutex);
  for (Domain& made : domains) {
    if (made.op.dialect() == dialect && made.op.settings() == settings) return made.domain;
  }
  return domains.emplace_back(dialect, settings).domain;
}

OrtStatus* too_old(const OrtApiBase& base) {
  const OrtApi* first = base.GetApi(1);
  if (first == nullptr) return nullptr;  // there is no way to say it
  return first->CreateStatus(
      ORT_NOT_IMPLEMENTED,
      fmt::format("muster: this is ONNX Runtime {}, the layer needs 1.{} or later",
                  base.GetVersionString(),
                  api_version)
          .c_str());
}

}  // namespace

OrtStatus* register_domain(OrtSessionOptions* options,
                           const OrtApiBase* base,
                           Dialect dialect) noexcept {
  const OrtApi* api = base->GetApi(api_version);
  if (api == nullptr) return too_old(*base);
  Ort::InitApi(api);
  return guarded("muster: ", [&] {
    process_world();
    // The engine takes a domain once only: options to which it was added are marked.
    const std::string mark = "muster.registered." + operator_name(dialect);
    if (Ort::ConstSessionOptions(options).HasConfigEntry(mark.c_str())) return;
    OrtCustomOpDomain* domain = domain_for(dialect, settings_of(options));
    Ort::ThrowOnError(api->AddCustomOpDomain(options, domain));
    Ort::ThrowOnError(api->AddSessionConfigEntry(options, mark.c_str(), "1"));
    use_arena_allocator(*options);
  });
}

}  // namespace muster::onnxruntime
