#include "workers/stages/stage_rows.h"

namespace tovamill {

StageRows::StageRows(Backend& backend, std::int32_t hidden_size, const StagePlace& place)
    : backend_(backend),
      hidden_size_(hidden_size),
      place_(place),
      messages_(make_message_rows(backend, hidden_size)) {}

std::string StageRows::link(const std::optional<NcclGroupId>& before,
                            const std::optional<NcclGroupId>& behind) {
  try {
    links_ = backend_.link_activations(
        {.before = before,
         .behind = behind,
         .hidden_size = hidden_size_,
         .join_s = place_.link_s,
         .timeout_s = place_.timeout_s,
         .why_closed = [channel = place_.channel] { return channel->why_closed(); },
         .on_lost = [channel = place_.channel](const std::string& why) { channel->close(why); }});
    return links_ ? "" : "this device has no links";
  } catch (const NcclGroupError& e) {
    return e.what();
  } catch (const OutOfMemory& e) {
    return e.what();
  }
}

void StageRows::receive(Buffer& rows, std::int32_t n_rows) {
  if (!links_) return messages_->receive(rows, n_rows);
  if (has_missed_)
    throw StageLost("rows of an earlier step, for which there was no memory, are on their way");
  links_->receive(rows, n_rows);
}

void StageRows::send(const Buffer& rows, std::int32_t n_rows) {
  if (links_) return links_->send(rows, n_rows);
  messages_->send(rows, n_rows);
}

void StageRows::check() const {
  if (links_) links_->check();
}

}  // namespace tovamill
