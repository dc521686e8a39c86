#include "world/board.h"

#include "muster/error.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace muster::world {

namespace {

using Word = std::atomic<std::uint64_t>;
using SeenWord = std::atomic<std::uint32_t>;

// FNV-1a, 64 bits (draft-eastlake-fnv): the same in every process, whatever its standard library.
class Hash {
 public:
  void add(std::string_view bytes) noexcept {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  void add(std::uint32_t number) noexcept {
    for (int shift = 0; shift < 32; shift += 8) {
      value_ = (value_ ^ (number >> shift & 0xffU)) * 1099511628211U;
    }
  }
  std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 14695981039346656037U;
};

// The content of a post: topic, group size, tag length (32 bits each), ranks, tag, body.
std::vector<std::byte> encode(const Subject& subject, std::span<const std::byte> body) {
  std::vector<std::uint32_t> numbers{static_cast<std::uint32_t>(subject.topic),
                                     static_cast<std::uint32_t>(subject.group.size()),
                                     static_cast<std::uint32_t>(subject.tag.size())};
  for (const int rank : subject.group.ranks()) numbers.push_back(static_cast<std::uint32_t>(rank));
  std::vector<std::byte> content;
  const auto append = [&](std::span<const std::byte> bytes) {
    content.insert(content.end(), bytes.begin(), bytes.end());
  };
  append(std::as_bytes(std::span(numbers)));
  append(std::as_bytes(std::span(subject.tag)));
  append(body);
  return content;
}

// Nothing when the content is not what encode() writes: it may have changed while it was copied.
std::optional<Post> decode(std::span<const std::byte> content) {
  const auto take = [&](void* to, std::size_t bytes) {
    if (content.size() < bytes) return false;
    if (bytes > 0) std::memcpy(to, content.data(), bytes);
    content = content.subspan(bytes);
    return true;
  };
  std::uint32_t head[3];
  if (!take(head, sizeof head)) return std::nullopt;
  const auto [topic, size, tag_bytes] = head;
  if (topic < 1 || topic > 3 || size < 1 || size > static_cast<std::uint32_t>(World::max_size)) {
    return std::nullopt;
  }
  std::vector<int> ranks(size);
  if (!take(ranks.data(), size * sizeof(int)) || content.size() < tag_bytes) return std::nullopt;
  std::string tag(tag_bytes, '\0');
  take(tag.data(), tag_bytes);
  try {
    Post post;
    post.subject = {static_cast<Topic>(topic), Group(std::move(ranks)), std::move(tag)};
    post.body.assign(content.begin(), content.end());
    return post;
  } catch (const Error&) {
    return std::nullopt;  // not a group
  }
}

std::size_t words_for(std::size_t bytes) {
  return (bytes + sizeof(Word) - 1) / sizeof(Word);
}

// A post's memory is read while its owner may already use it for another post, so all of it is
// atomic words; the post's id tells afterwards whether what was read is whole. See also
// BoardWriter::take_memory().
void store_content(std::byte* to, std::span<const std::byte> content) {
  auto* words = reinterpret_cast<Word*>(to);
  for (std::size_t i = 0; i < words_for(content.size()); ++i) {
    std::uint64_t word = 0;
    const std::size_t rest = content.size() - i * sizeof word;
    std::memcpy(&word, content.data() + i * sizeof word, std::min(rest, sizeof word));
    words[i].store(word, std::memory_order_relaxed);
  }
}

std::vector<std::byte> load_content(const std::byte* from, std::size_t bytes) {
  const auto* words = reinterpret_cast<const Word*>(from);
  std::vector<std::byte> content(words_for(bytes) * sizeof(Word));
  for (std::size_t i = 0; i < words_for(bytes); ++i) {
    const std::uint64_t word = words[i].load(std::memory_order_relaxed);
    std::memcpy(content.data() + i * sizeof word, &word, sizeof word);
  }
  content.resize(bytes);
  return content;
}

std::size_t seen_bytes(std::size_t members) {
  return words_for(members * sizeof(SeenWord)) * sizeof(Word);
}

// A word of BoardEntry::held: whose post it is of above, the bits of those who hold it below.
std::uint64_t held_word(std::uint32_t id, std::uint32_t bits) {
  return std::uint64_t{id} << 32 | bits;
}
std::uint32_t id_of(std::uint64_t held) {
  return static_cast<std::uint32_t>(held >> 32);
}
std::uint32_t bit_of(int position) {
  return 1U << (static_cast<std::size_t>(position) % BoardEntry::held_a_word);
}
template <typename Entry>
auto& held_of(Entry& entry, int position) {
  return entry.held[static_cast<std::size_t>(position) / BoardEntry::held_a_word];
}

// BoardEntry::phase: a Phase in 8 bits; above, in 8, 1 + the rank to blame, or 0; then one for
// lost.
constexpr std::uint32_t phase_mask = 0xff;
constexpr int blame_shift = 8;
constexpr int lost_shift = 16;
static_assert(World::max_size < 0xff);

Phase phase_of(std::uint32_t word) {
  return static_cast<Phase>(word & phase_mask);
}

std::uint32_t failed_word(const std::optional<Blame>& blame) {
  const auto failed = static_cast<std::uint32_t>(Phase::failed);
  if (!blame) return failed;
  return failed | static_cast<std::uint32_t>(blame->rank + 1) << blame_shift |
         static_cast<std::uint32_t>(blame->lost) << lost_shift;
}

std::optional<Blame> blame_of(std::uint32_t word) {
  const std::uint32_t rank = word >> blame_shift & phase_mask;
  if (phase_of(word) != Phase::failed || rank == 0) return std::nullopt;
  return Blame{.rank = static_cast<int>(rank) - 1, .lost = (word >> lost_shift & 1) != 0};
}

}  // namespace

std::uint64_t Subject::key() const noexcept {
  Hash hash;
  hash.add(static_cast<std::uint32_t>(topic));
  hash.add(static_cast<std::uint32_t>(group.size()));
  for (const int rank : group.ranks()) hash.add(static_cast<std::uint32_t>(rank));
  hash.add(tag);
  return std::max<std::uint64_t>(hash.value(), 1);
}

std::uint32_t BoardReader::generation() const noexcept {
  return board_.generation.load(std::memory_order_seq_cst);
}

void BoardReader::sleep(std::uint32_t generation, Deadline deadline) noexcept {
  board_.sleepers.fetch_add(1, std::memory_order_seq_cst);
  if (board_.generation.load(std::memory_order_seq_cst) == generation) {
    futex_wait(board_.generation, generation, deadline);
  }
  board_.sleepers.fetch_sub(1, std::memory_order_seq_cst);
}

void BoardReader::wake() noexcept {
  board_.generation.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(board_.generation);
}

std::optional<Post> BoardReader::read(std::size_t index) const {
  const BoardEntry& entry = board_.entries[index];
  const std::uint32_t id = entry.id.load(std::memory_order_acquire);
  if (id == 0) return std::nullopt;
  const std::size_t offset = entry.offset.load(std::memory_order_relaxed);
  const std::size_t members = entry.members.load(std::memory_order_relaxed);
  const std::size_t bytes = entry.bytes.load(std::memory_order_relaxed);
  const Phase phase = phase_of(entry.phase.load(std::memory_order_acquire));
  full_fence();  // the words above are read before the id is read again: are they of one post?
  if (entry.id.load(std::memory_order_acquire) != id) return std::nullopt;
  if (members > static_cast<std::size_t>(World::max_size) || offset % alignof(Word) != 0 ||
      offset > arena_.bytes() ||
      seen_bytes(members) + words_for(bytes) * sizeof(Word) > arena_.bytes() - offset) {
    return std::nullopt;
  }
  const std::byte* memory = arena_.base() + offset;
  std::vector<std::uint32_t> seen(members);
  for (std::size_t i = 0; i < members; ++i) {
    seen[i] = reinterpret_cast<const SeenWord*>(memory)[i].load(std::memory_order_acquire);
  }
  const auto content = load_content(memory + seen_bytes(members), bytes);
  full_fence();
  if (entry.id.load(std::memory_order_acquire) != id) return std::nullopt;
  auto post = decode(content);
  if (!post || post->subject.group.size() != static_cast<int>(members)) return std::nullopt;
  post->id = id;
  post->entry = index;
  post->phase = phase;
  post->seen = std::move(seen);
  return post;
}

std::vector<Post> BoardReader::find_all(const Subject& subject) const {
  const std::uint64_t key = subject.key();
  const auto entries = used_entries();
  std::vector<Post> posts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].key.load(std::memory_order_acquire) != key) continue;
    auto post = read(i);
    if (post && post->subject == subject) posts.push_back(std::move(*post));
  }
  return posts;
}

std::optional<Post> BoardReader::find(const Subject& subject) const {
  for (Post& post : find_all(subject)) {
    if (post.phase != Phase::failed) return std::move(post);
  }
  return std::nullopt;
}

std::optional<Post> BoardReader::find_any(const Subject& subject) const {
  auto posts = find_all(subject);
  if (posts.empty()) return std::nullopt;
  return std::move(posts.front());
}

std::span<const BoardEntry> BoardReader::used_entries() const noexcept {
  const std::size_t used = board_.used.load(std::memory_order_acquire);
  return std::span<const BoardEntry>(board_.entries).first(std::min(used, Board::capacity));
}

std::vector<Post> BoardReader::all() const {
  std::vector<Post> posts;
  for (std::size_t i = 0; i < used_entries().size(); ++i) {
    if (auto post = read(i)) posts.push_back(std::move(*post));
  }
  return posts;
}

std::optional<Phase> BoardReader::phase(const PostName& post) const noexcept {
  const BoardEntry& entry = board_.entries[post.entry];
  const Phase phase = phase_of(entry.phase.load(std::memory_order_acquire));
  if (entry.id.load(std::memory_order_acquire) != post.id) return std::nullopt;
  return phase;
}

std::optional<Blame> BoardReader::blame(const PostName& post) const noexcept {
  const BoardEntry& entry = board_.entries[post.entry];
  const auto blame = blame_of(entry.phase.load(std::memory_order_acquire));
  if (entry.id.load(std::memory_order_acquire) != post.id) return std::nullopt;
  return blame;
}

bool BoardReader::hold(const PostName& post, int position) noexcept {
  auto& word = held_of(board_.entries[post.entry], position);
  std::uint64_t held = word.load(std::memory_order_relaxed);
  while (id_of(held) == post.id) {
    if (word.compare_exchange_weak(held, held | bit_of(position))) return true;
  }
  return false;
}

// The word is another post's when the owner has taken its own down: it needs no word from here.
void BoardReader::release(const PostName& post, int position) noexcept {
  auto& word = held_of(board_.entries[post.entry], position);
  std::uint64_t held = word.load(std::memory_order_relaxed);
  while (id_of(held) == post.id || id_of(held) == ~post.id) {
    const std::uint64_t without = held & ~std::uint64_t{bit_of(position)};
    if (word.compare_exchange_weak(held, without)) return;
  }
}

bool BoardReader::held(const PostName& post, int position) const noexcept {
  const auto held = held_of(board_.entries[post.entry], position).load(std::memory_order_acquire);
  return (id_of(held) == post.id || id_of(held) == ~post.id) && (held & bit_of(position)) != 0;
}

bool BoardReader::is_closed(const PostName& post) const noexcept {
  const auto held = held_of(board_.entries[post.entry], 0).load(std::memory_order_acquire);
  return id_of(held) != post.id;
}

Range BoardWriter::take_memory(std::size_t bytes) {
  if (bytes > longest_kept) return arena_.allocate(bytes);
  const std::size_t rounded = std::bit_ceil(std::max(bytes, shortest_kept));
  std::lock_guard lock(mutex_);
  const auto found = std::find_if(
      kept_.begin(), kept_.end(), [&](const Range& range) { return range.bytes == rounded; });
  if (found != kept_.end()) {
    const Range memory = *found;
    kept_.erase(found);
    return memory;
  }
  kept_.reserve(short_posts_ + 1);
  const Range memory = arena_.allocate(rounded);
  ++short_posts_;
  return memory;
}

void BoardWriter::give_back(Range memory) noexcept {
  if (memory.bytes > longest_kept) {
    arena_.free(memory);
  } else {
    kept_.push_back(memory);
  }
}

BoardEntry& BoardWriter::claim_entry() {
  for (std::size_t i = 0; i < Board::capacity; ++i) {
    if (board_.entries[i].id.load(std::memory_order_relaxed) != 0) continue;
    const auto used = static_cast<std::uint32_t>(i + 1);
    if (board_.used.load(std::memory_order_relaxed) < used) {
      board_.used.store(used, std::memory_order_release);
    }
    return board_.entries[i];
  }
  throw Error(ErrorCode::out_of_memory,
              "more than " + std::to_string(Board::capacity) +
                  " communicators and exchanges are being made at once");
}

void BoardWriter::changed() noexcept {
  board_.generation.fetch_add(1, std::memory_order_seq_cst);
  if (board_.sleepers.load(std::memory_order_seq_cst) != 0) futex_wake_all(board_.generation);
}

PinnedPost::PinnedPost(BoardWriter& writer, const Subject& subject, std::span<const std::byte> body)
    : writer_(writer) {
  const auto content = encode(subject, body);
  const auto members = static_cast<std::size_t>(subject.group.size());
  memory_ = writer_.take_memory(seen_bytes(members) + words_for(content.size()) * sizeof(Word));
  std::byte* memory = writer_.arena_.base() + memory_.offset;
  for (std::size_t i = 0; i < members; ++i) {
    reinterpret_cast<SeenWord*>(memory)[i].store(0, std::memory_order_relaxed);
  }
  store_content(memory + seen_bytes(members), content);

  std::lock_guard lock(writer_.mutex_);
  try {
    entry_ = &writer_.claim_entry();
  } catch (...) {
    writer_.give_back(memory_);
    throw;
  }
  if (++writer_.last_id_ == 0) ++writer_.last_id_;  // 0 is an entry's that is free
  id_ = writer_.last_id_;
  entry_->key.store(subject.key(), std::memory_order_relaxed);
  entry_->phase.store(static_cast<std::uint32_t>(Phase::waiting), std::memory_order_relaxed);
  entry_->offset.store(memory_.offset, std::memory_order_relaxed);
  entry_->members.store(static_cast<std::uint32_t>(members), std::memory_order_relaxed);
  entry_->bytes.store(static_cast<std::uint32_t>(content.size()), std::memory_order_relaxed);
  for (auto& held : entry_->held) held.store(held_word(id_, 0), std::memory_order_relaxed);
  entry_->id.store(id_, std::memory_order_release);
  writer_.changed();
}

PostName PinnedPost::name() const noexcept {
  return {id_, static_cast<std::size_t>(entry_ - writer_.board_.entries.data())};
}

PinnedPost::~PinnedPost() {
  if (entry_ == nullptr) return;
  std::lock_guard lock(writer_.mutex_);
  entry_->id.store(0, std::memory_order_seq_cst);
  full_fence();
  writer_.changed();
  writer_.give_back(memory_);
}

void PinnedPost::mark_seen(int position, std::uint32_t id) noexcept {
  auto* seen = reinterpret_cast<SeenWord*>(writer_.arena_.base() + memory_.offset);
  seen[position].store(id, std::memory_order_release);
}

void PinnedPost::set_phase(Phase phase) noexcept {
  entry_->phase.store(static_cast<std::uint32_t>(phase), std::memory_order_release);
  writer_.changed();
}

void PinnedPost::fail(const std::optional<Blame>& blame) noexcept {
  entry_->phase.store(failed_word(blame), std::memory_order_release);
  writer_.changed();
}

void PinnedPost::close() noexcept {
  for (auto& word : entry_->held) {
    std::uint64_t held = word.load(std::memory_order_relaxed);
    while (!word.compare_exchange_weak(
        held, held_word(~id_, static_cast<std::uint32_t>(held)), std::memory_order_seq_cst)) {
    }
  }
}

}  // namespace muster::world
