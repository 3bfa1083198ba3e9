"""Weakenings of the package: small changes that ordinary use does not show, and tests that do.

`python -m tests.reliability.weakenings` tries them. A change to the package may need a change here:
the text that a weakening replaces must occur exactly once in its file.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Weakening:
    """A change to one place of the package, and the tests of which one must fail.

    Args:
        name: what is weakened, in words joined by hyphens.
        file: the file, relative to the root of the tree.
        old: the text to replace; it occurs exactly once.
        new: the text in its place.
        tests: `path::function` of quick tests, relative to `tests`.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FILES = "charrnn/system/files.py"
LOCK = "charrnn/system/file_lock.py"
CHILDREN = "charrnn/system/child_processes.py"
FORMAT = "charrnn/checkpointing/npz_format.py"
JSON = "charrnn/checkpointing/bounded_json.py"
CHECKS = "charrnn/checkpointing/checkpoint_checks.py"
CHECKPOINT = "charrnn/checkpointing/checkpoint.py"
SNAPSHOT = "charrnn/training/snapshot.py"
TRAINER = "charrnn/training/trainer.py"
FOLDER = "charrnn/cli/runs/run_folder.py"
METRICS = "charrnn/cli/runs/metrics_log.py"
SIGNALS = "charrnn/cli/runs/signals.py"
LOOP = "charrnn/cli/train/loop.py"
SAVES = "charrnn/cli/train/saves.py"
SAFE_TEXT = "charrnn/cli/output/safe_text.py"
DECODING = "charrnn/data/decoding.py"
TEXTS = "charrnn/data/text_files.py"

SAVING = (
    Weakening(
        "fsync-of-file-dropped",
        FILES,
        "            write_all(descriptor, chunk)\n        os.fsync(descriptor)\n",
        "            write_all(descriptor, chunk)\n",
        (
            "checkpointing/test_npz_file.py::test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else",
        ),
    ),
    Weakening(
        "fsync-of-folder-dropped",
        FILES,
        "        unlink_if_possible(temporary)\n    fsync_folder(path.parent)\n",
        "        unlink_if_possible(temporary)\n",
        (
            "checkpointing/test_npz_file.py::test_a_folder_that_fails_to_become_durable_is_reported_and_one_that_cannot_is_not",
        ),
    ),
    Weakening(
        "written-onto-the-path",
        FILES,
        "        write_durably(temporary, content)\n        rename(temporary, path)\n",
        "        path.unlink(missing_ok=True)\n        write_durably(path, content)\n",
        ("system/test_files.py::test_the_old_file_stays_until_the_last_chunk_is_made",),
    ),
    Weakening(
        "fsync-of-file-after-rename",
        FILES,
        "        write_durably(temporary, content)\n        rename(temporary, path)\n",
        "        chunks = (content,) if isinstance(content, bytes | bytearray) else content\n"
        "        temporary.write_bytes(b''.join(chunks))\n        rename(temporary, path)\n"
        "        descriptor = os.open(path, os.O_RDWR)\n        os.fsync(descriptor)\n"
        "        os.close(descriptor)\n",
        (
            "checkpointing/test_npz_file.py::test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else",
        ),
    ),
    Weakening(
        "temporary-kept-after-failure",
        FILES,
        "    finally:\n        unlink_if_possible(temporary)\n",
        "    finally:\n        pass\n",
        (
            "system/test_files.py::test_a_failure_to_make_a_chunk_passes_through_and_leaves_the_old_file",
        ),
    ),
    Weakening(
        "own-old-temporary-in-the-way",
        FILES,
        "        temporary.unlink(missing_ok=True)  # of a killed",
        "        # of a killed",
        (
            "checkpointing/test_npz_file.py::test_a_symlink_in_the_place_of_the_temporary_file_is_not_followed",
        ),
    ),
    Weakening(
        "temporary-opened-through-a-link",
        FILES,
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_BINARY",
        "os.O_WRONLY | os.O_CREAT | os.O_TRUNC | O_BINARY",
        (
            "checkpointing/test_npz_file.py::test_a_symlink_in_the_place_of_the_temporary_file_is_not_followed",
        ),
    ),
    Weakening(
        "short-writes-not-continued",
        FILES,
        "        remaining = remaining[os.write(descriptor, remaining) :]\n",
        "        remaining = remaining[max(len(remaining), os.write(descriptor, remaining)) :]\n",
        (
            "checkpointing/test_npz_file.py::test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else",
        ),
    ),
    Weakening(
        "stale-temporaries-kept",
        FOLDER,
        "            remove_own_temporaries(path)\n",
        "            remove_own_temporaries(path / 'nowhere')\n",
        ("cli/runs/test_run_folder.py::test_temporary_files_of_a_killed_run_are_removed",),
    ),
    Weakening(
        "live-temporaries-removed",
        FILES,
        "        return True\n    return False\n\n\ndef open_regular_file",
        "        return True\n    return True\n\n\ndef open_regular_file",
        ("system/test_files.py::test_only_what_dead_processes_left_is_removed",),
    ),
    Weakening(
        "fsync-error-of-folder-ignored",
        FILES,
        "        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported here\n",
        "        if error.errno is None:\n",
        (
            "checkpointing/test_npz_file.py::test_a_folder_that_fails_to_become_durable_is_reported_and_one_that_cannot_is_not",
        ),
    ),
    Weakening(
        "save-error-not-reported",
        "charrnn/checkpointing/npz_file.py",
        '    except OSError as error:\n        problem = f"cannot write',
        "    except OSError as error:\n        if error.errno == 28:\n            return\n"
        '        problem = f"cannot write',
        (
            "checkpointing/test_npz_file.py::test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else",
        ),
    ),
    Weakening(
        "archive-bytes-differ-each-time",
        FORMAT,
        "sort_keys=True, allow_nan=False",
        "sort_keys=False, allow_nan=False",
        ("checkpointing/test_npz_file.py::test_the_format_is_the_one_that_was_written_down",),
    ),
)

STRANGERS_FILES = (
    Weakening(
        "links-followed",
        FILES,
        "        flags |= O_NOFOLLOW\n",
        "        flags |= 0\n",
        ("system/test_files.py::test_a_link_is_followed_only_on_request",),
    ),
    Weakening(
        "lock-follows-links",
        LOCK,
        "open_regular_file(path, os.O_RDWR | os.O_CREAT)",
        "open_regular_file(path, os.O_RDWR | os.O_CREAT, follow_links=True)",
        ("system/test_file_lock.py::test_a_link_is_never_followed",),
    ),
    Weakening(
        "metrics-follow-links",
        METRICS,
        "open_regular_file(self.path, flags)",
        "open_regular_file(self.path, flags, follow_links=True)",
        (
            "cli/runs/test_run_records.py::test_a_link_that_leads_out_of_the_folder_is_not_written_to",
        ),
    ),
    Weakening(
        "pipes-and-devices-opened",
        FILES,
        "    if not stat.S_ISREG(mode):\n",
        "    if stat.S_ISDIR(mode):\n",
        ("system/test_files.py::test_only_a_regular_file_is_opened",),
    ),
    Weakening(
        "open-waits-for-a-pipe",
        FILES,
        "flags | O_NONBLOCK | O_BINARY",
        "flags | O_BINARY",
        ("system/test_files.py::test_only_a_regular_file_is_opened",),
    ),
    Weakening(
        "size-limit-dropped",
        FILES,
        "        if size > max_bytes:\n",
        "        if size > max_bytes + 2**62:\n",
        ("system/test_files.py::test_a_file_is_read_up_to_its_limit",),
    ),
    Weakening(
        "change-while-reading-unnoticed",
        FILES,
        "    if len(content) != size:\n",
        "    if len(content) < size:\n",
        ("checkpointing/test_npz_file.py::test_a_file_that_grows_while_it_is_read_is_refused",),
    ),
    Weakening(
        "checksum-not-compared",
        FORMAT,
        "intact = checksum(memoryview(content)[:-CHECKSUM_DIGITS]) == content[-CHECKSUM_DIGITS:]",
        "intact = len(checksum(memoryview(content)[:-CHECKSUM_DIGITS])) == CHECKSUM_DIGITS",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "checksum-optional",
        FORMAT,
        '    raise CheckpointError("is an .npz, but not one that charrnn wrote")\n',
        "",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "pickle-allowed",
        FORMAT,
        "    members = find_members(content)\n",
        "    with np.load(io.BytesIO(content), allow_pickle=True) as loaded:\n"
        "        found = dict(loaded)\n"
        "    text = found.pop('metadata')\n"
        "    if text.dtype == np.uint8:\n"
        "        return found, parse_metadata(text.tobytes())\n"
        "    members = find_members(content)\n",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "duplicate-members-accepted",
        FORMAT,
        '        require(name not in members, f"has two members {where}")\n',
        "",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "zip-headers-not-compared",
        FORMAT,
        "        require(agree, f",
        "        require(agree or len(headers) > 0, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "bytes-between-members-accepted",
        FORMAT,
        "        require(offset == cursor, f",
        "        require(offset >= cursor, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "bytes-after-members-accepted",
        FORMAT,
        "    require(cursor == start and entry == end, ",
        "    require(cursor <= start and entry <= end, ",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "crc-of-member-not-compared",
        FORMAT,
        "        require(crc32(view[body:cursor]) == crc, f",
        "        require(crc32(view[body:cursor]) >= 0, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "member-names-not-checked",
        FORMAT,
        '        well_named = suffix == b".npy" and MEMBER_NAME.fullmatch(name) is not None\n',
        '        well_named = suffix == b".npy"\n',
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "number-of-members-not-limited",
        FORMAT,
        "    require(count <= MAX_MEMBERS, f",
        "    require(count >= 0, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "length-of-header-not-limited",
        FORMAT,
        "start <= min(len(member), MAX_HEADER_BYTES)",
        "start <= len(member)",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "shape-not-compared-with-bytes",
        FORMAT,
        "    require(size == len(data), f",
        "    require(size <= len(data), f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "impossible-shape-accepted",
        FORMAT,
        "    require(possible and len(shape) <= MAX_AXES, f",
        "    require(len(shape) <= MAX_AXES, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "booleans-of-any-byte",
        FORMAT,
        "        require(bool(largest <= 1), f",
        "        require(bool(largest <= 255), f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "fortran-order-accepted",
        FORMAT,
        '    require(match[2] == b"False", f',
        "    require(match[2] is not None, f",
        ("checkpointing/test_npz_file.py::test_each_way_of_being_broken_is_refused_by_name",),
    ),
    Weakening(
        "length-of-metadata-not-limited",
        FORMAT,
        "    require(len(text) <= MAX_METADATA_BYTES, f",
        "    require(len(text) >= 0, f",
        ("checkpointing/test_npz_file.py::test_metadata_that_could_not_be_read_is_not_written",),
    ),
    Weakening(
        "newer-format-accepted",
        CHECKPOINT,
        "        if version > PAIR_FORMAT:\n",
        "        if version > PAIR_FORMAT + 2:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "non-finite-weights-loaded",
        CHECKPOINT,
        "            if not np.isfinite(array).all():\n",
        "            if array is None:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "type-of-weights-not-checked",
        CHECKPOINT,
        "array.shape != shape or array.dtype != np.float32",
        "array.shape != shape",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "shape-of-weights-not-checked",
        CHECKPOINT,
        "array.shape != shape or array.dtype != np.float32",
        "array.size != np.prod(shape) or array.dtype != np.float32",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "unknown-arrays-accepted",
        CHECKPOINT,
        "        if self.arrays:\n            raise",
        "        if len(self.arrays) > 1:\n            raise",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "types-of-settings-not-checked",
        CHECKPOINT,
        "        if type(value) not in allowed:\n",
        "        if not isinstance(value, allowed):\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "vocabulary-may-not-fit-the-network",
        CHECKPOINT,
        "(config.inputs, config.outputs) != (symbols.inputs, symbols.outputs)",
        "config.inputs < symbols.inputs",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "number-of-lists-not-limited",
        JSON,
        '    if text.count("[") + text.count("{") > MAX_CONTAINERS:\n',
        '    if text.count("[") + text.count("{") > 1000 * MAX_CONTAINERS:\n',
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "depth-of-json-not-limited",
        JSON,
        "    if nesting > MAX_DEPTH:\n",
        "    if nesting > MAX_DEPTH + 10**6:\n",
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "deep-json-is-a-traceback",
        JSON,
        "    except RecursionError:\n",
        "    except ZeroDivisionError:\n",
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "duplicate-keys-accepted",
        JSON,
        "            object_pairs_hook=reject_duplicate_keys,\n",
        "",
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "non-finite-json-accepted",
        JSON,
        "    if not math.isfinite(value):\n        raise ValueError",
        "    if value is None:\n        raise ValueError",
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "integers-of-400-digits-accepted",
        JSON,
        '    if len(number.removeprefix("-")) > MAX_INTEGER_DIGITS:\n',
        '    if len(number.removeprefix("-")) > 11 * MAX_INTEGER_DIGITS:\n',
        ("checkpointing/test_bounded_json.py::test_what_is_beyond_a_limit_is_refused",),
    ),
    Weakening(
        "unknown-metadata-accepted",
        CHECKS,
        "    odd = sorted(set(found) ^ set(expected))\n",
        "    odd = sorted(set(expected) - set(found))\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "two-different-steps-accepted",
        CHECKS,
        "    if progress.step != step:\n",
        "    if progress.step < step:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "steps-beyond-the-plan-accepted",
        CHECKS,
        "    if step > config.steps:\n",
        "    if step > config.steps + 10**6:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "control-characters-in-a-message",
        CHECKS,
        '    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in problem)\n',
        "    shown = problem\n",
        ("test_doctests.py::test_examples_give_what_they_show",),
    ),
    Weakening(
        "control-characters-in-a-field-name",
        CHECKS,
        "    return name if PLAIN_NAME.fullmatch(name) else format_value(name)\n",
        "    return name\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "any-hash-accepted",
        CHECKS,
        "        if digest is None or SHA256.fullmatch(digest):\n",
        "        if digest is None or digest:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "any-built-in-name-accepted",
        CHECKS,
        "    return (france and name",
        "    return bool(name) or (france and name",
        ("training/test_pair_training.py::test_a_checkpoint_names_built_in_pairs_of_its_layout",),
    ),
    Weakening(
        "any-built-in-text-accepted",
        CHECKS,
        "        return name in BUILT_IN\n",
        "        return bool(name)\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "negative-fractions-accepted",
        "charrnn/limits.py",
        '    "val_fraction": Limits(0, 0.5, 0.1),\n',
        '    "val_fraction": Limits(-1, 0.5, 0.1),\n',
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "updates-of-the-future-accepted",
        CHECKS,
        "    if not (0 if rolled_back else most) <= updates <= most:\n",
        "    if not (0 if rolled_back else most) <= updates:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "negative-losses-accepted",
        "charrnn/limits.py",
        "LOSS = Limits(0, MAX_LOSS, 1.0)\n",
        "LOSS = Limits(-1, MAX_LOSS, 1.0)\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "any-encoding-accepted",
        CHECKS,
        '    except UsageError as error:\n        raise CheckpointError(f"corpus.encoding',
        '    except ZeroDivisionError as error:\n        raise CheckpointError(f"corpus.encoding',
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "ends-of-a-file-not-checked-first",
        "charrnn/checkpointing/npz_file.py",
        "read_regular_file(path, max_bytes, check_ends)",
        "read_regular_file(path, max_bytes)",
        (
            "checkpointing/test_npz_file.py::test_the_ends_of_a_file_are_checked_before_the_rest_is_read",
        ),
    ),
    Weakening(
        "huge-weights-warn",
        "charrnn/nn/network.py",
        '        with np.errstate(over="ignore", invalid="ignore"):\n            for number',
        '        with np.errstate(over="ignore"):\n            for number',
        (
            "inference/test_huge_weights.py::test_a_text_is_scored",
            "inference/test_huge_weights.py::test_sampling_ends_in_an_error_or_in_characters",
        ),
    ),
    Weakening(
        "predictions-that-are-nan-drawn",
        "charrnn/inference/sampling.py",
        "    if not np.isfinite(logits).all():\n",
        "    if logits is None:\n",
        ("inference/test_huge_weights.py::test_predictions_that_are_not_finite_are_an_error",),
    ),
    Weakening(
        "huge-weights-read-the-fast-way",
        "charrnn/inference/fast_step.py",
        "        self.may_overflow = (config.hidden + 2) * largest > MAX_SUM\n",
        "        self.may_overflow = largest < 0\n",
        ("inference/test_huge_weights.py::test_sampling_ends_in_an_error_or_in_characters",),
    ),
    Weakening(
        "ids-of-another-person-read",
        "charrnn/data/large_text_files.py",
        "        new_folders = [folder",
        "        if path.exists():\n"
        "            return mapped(path, vocabulary)\n"
        "        new_folders = [folder",
        ("cli/train/test_foreign_runs.py::test_ids_are_written_anew_and_never_read",),
    ),
    Weakening(
        "run-json-of-any-size-read",
        "charrnn/checkpointing/run_records.py",
        'read_regular_file(folder / "run.json", MAX_FACTS_BYTES)',
        'read_regular_file(folder / "run.json", 1000 * MAX_FACTS_BYTES)',
        ("cli/runs/test_run_records.py::test_facts_are_read_from_a_regular_file_of_bounded_size",),
    ),
    Weakening(
        "rows-of-any-length-read",
        "charrnn/checkpointing/run_records.py",
        "file.readline(MAX_ROW_CHARACTERS)",
        "file.readline()",
        ("cli/runs/test_run_records.py::test_a_line_is_read_up_to_a_largest_length",),
    ),
    Weakening(
        "metrics-of-any-size-read",
        METRICS,
        "                if size > MAX_METRICS_BYTES:\n",
        "                if size > 1000 * MAX_METRICS_BYTES:\n",
        ("cli/runs/test_run_records.py::test_rows_are_read_up_to_a_largest_size",),
    ),
    Weakening(
        "counts-that-are-true-accepted",
        "charrnn/checkpointing/run_records.py",
        "value if type(value) is int and 0 <=",
        "value if isinstance(value, int) and 0 <=",
        ("cli/runs/test_run_records.py::test_a_line_without_a_step_is_no_row",),
    ),
    Weakening(
        "paths-with-nul-in-run-json",
        "charrnn/checkpointing/run_records.py",
        ' or "\\0" in value:\n',
        ' or value == "\\0":\n',
        ("cli/runs/test_run_records.py::test_sources_are_paths",),
    ),
    Weakening(
        "answers-of-any-length-announced",
        "charrnn/limits.py",
        "LONGEST_ANSWER = Limits(1, 2**16, 10)",
        "LONGEST_ANSWER = Limits(1, 2**60, 10)",
        ("training/test_pair_training.py::test_nonsense_in_a_checkpoint_is_refused",),
    ),
    Weakening(
        "all-rows-held-in-memory",
        METRICS,
        "                if waiting > CHUNK_BYTES:\n",
        "                if waiting > 10**6 * CHUNK_BYTES:\n",
        ("cli/runs/test_run_records.py::test_rows_are_dropped_in_bounded_memory",),
    ),
    Weakening(
        "losses-that-are-nan-reported",
        "charrnn/inference/model.py",
        "        finite_logits(np.array(nats))\n",
        "        np.array(nats)\n",
        ("inference/test_huge_weights.py::test_a_loss_that_is_not_finite_is_an_error",),
    ),
)

RUNS = (
    Weakening(
        "lock-not-taken",
        LOCK,
        "                if lock_descriptor(self._descriptor, blocking=False):\n",
        "                if lock_descriptor(self._descriptor, blocking=False) in (True, False):\n",
        ("system/test_file_lock.py::test_two_processes_do_not_hold_it_at_once",),
    ),
    Weakening(
        "lock-of-a-removed-file-accepted",
        LOCK,
        "                    if is_file_at(self._descriptor, path):\n",
        "                    if self._descriptor is not None:\n",
        ("system/test_file_lock.py::test_a_file_that_was_removed_meanwhile_is_made_again",),
    ),
    Weakening(
        "folder-not-locked",
        FOLDER,
        "            return FileLock(path)\n",
        "            FileLock(path).release()\n            return None\n",
        (
            "cli/runs/test_run_folder.py::test_a_lock_that_cannot_be_deleted_while_it_is_open_is_deleted_afterwards",
        ),
    ),
    Weakening(
        "newest-saves-deleted",
        FOLDER,
        "numbered[: max(0, len(numbered) - keep)]",
        "numbered[keep:]",
        ("cli/train/test_exits.py::test_the_newest_saves_are_kept_whatever_the_number_of_digits",),
    ),
    Weakening(
        "saves-ahead-of-the-run-deleted",
        FOLDER,
        "if step is None or step_of(path) <= step",
        "if step is None or step_of(path) >= 0",
        ("cli/train/test_exits.py::test_saves_after_resuming_from_an_earlier_one_are_kept",),
    ),
    Weakening(
        "saves-sorted-by-name",
        "charrnn/checkpointing/lookup.py",
        "    return sorted(found, key=step_of)\n",
        "    return sorted(found)\n",
        ("cli/train/test_exits.py::test_the_newest_saves_are_kept_whatever_the_number_of_digits",),
    ),
    Weakening(
        "files-of-others-removed",
        FOLDER,
        "            if is_run_file(path.name) and path != lock:\n",
        "            if path != lock:\n",
        ("cli/runs/test_run_folder.py::test_files_of_others_and_folders_that_were_there_are_kept",),
    ),
    Weakening(
        "failed-run-with-a-save-removed",
        FOLDER,
        '        if not self._new or any(self.path.glob("*.npz")):\n',
        "        if not self._new:\n",
        ("cli/runs/test_run_folder.py::test_a_failed_run_with_a_checkpoint_is_kept",),
    ),
    Weakening(
        "nothing-saved-on-an-exception",
        LOOP,
        "        if self.trainer.updating:  # then",
        "        if self.trainer.progress.step:  # then",
        ("cli/train/test_exits.py::test_any_exception_saves_first_and_the_run_goes_on_exactly",),
    ),
    Weakening(
        "half-a-step-saved-on-an-exception",
        LOOP,
        "        if self.trainer.updating:  # then",
        "        if self.trainer.updating is None:  # then",
        (
            "cli/train/test_exits.py::test_an_exception_while_weights_change_keeps_the_save_of_before",
        ),
    ),
    Weakening(
        "another-text-accepted-on-resume",
        "charrnn/cli/runs/load_text.py",
        '    if corpus.fingerprint["sha256"] != record.sha256:\n',
        '    if corpus.fingerprint["sha256"] == record:\n',
        ("cli/train/test_resume.py::test_another_text_is_refused",),
    ),
    Weakening(
        "other-pairs-accepted-on-resume",
        "charrnn/cli/runs/load_pairs.py",
        '    if corpus.fingerprint["sha256"] != record.sha256:\n',
        '    if corpus.fingerprint["sha256"] == record:\n',
        ("cli/train/test_pairs.py::test_resume_wants_the_same_pairs",),
    ),
    Weakening(
        "another-machine-not-told",
        "charrnn/cli/train/resume.py",
        "if before.get(name) != value)",
        "if before.get(name) is None and value)",
        ("cli/train/test_resume.py::test_a_resumed_run_says_what_of_the_machine_has_changed",),
    ),
    Weakening(
        "failed-save-ends-a-run",
        SAVES,
        "        if self._failures >= MAX_FAILED_SAVES and unsaved >= MAX_UNSAVED_SECONDS:\n",
        "        if self._failures and unsaved >= 0:\n",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
    ),
    Weakening(
        "failed-saves-never-end-a-run",
        SAVES,
        "        if self._failures >= MAX_FAILED_SAVES and unsaved >= MAX_UNSAVED_SECONDS:\n",
        "        if self._failures >= MAX_FAILED_SAVES and unsaved < 0:\n",
        (
            "cli/train/test_exits.py::test_saves_that_fail_for_long_end_a_run_and_for_a_moment_do_not",
        ),
    ),
    Weakening(
        "failed-last-save-unnoticed",
        SAVES,
        "        failure = attempt(self._write_best, self._write_last)\n"
        "        if failure is not None:\n"
        "            raise failure\n",
        "        attempt(self._write_best, self._write_last)\n",
        (
            "cli/train/test_saves.py::test_a_run_whose_best_cannot_be_saved_fails_and_names_no_other_best",
        ),
    ),
    Weakening(
        "failed-best-not-saved-later",
        SAVES,
        "attempt(self._write_best, self._write_last, *numbered)",
        "attempt(self._write_last, *numbered)",
        (
            "cli/train/test_saves.py::test_a_best_that_could_not_be_saved_is_saved_before_the_next_last",
        ),
    ),
    Weakening(
        "failed-best-not-saved-on-ctrl-c",
        SAVES,
        "        attempt(self._write_best)\n        self._write_last()\n",
        "        self._write_last()\n",
        (
            "cli/train/test_saves.py::test_an_interrupted_run_saves_the_best_that_could_not_be_saved",
        ),
    ),
    Weakening(
        "failed-best-saved-later-with-newer-weights",
        SAVES,
        "            self._unsaved_best = copied(self._unsaved_best)\n",
        "            self._failures += 0\n",
        (
            "cli/train/test_saves.py::test_a_best_that_could_not_be_saved_is_saved_before_the_next_last",
            "cli/train/test_saves.py::test_saves_that_fail_at_random_never_disagree_and_a_resumed_run_ends_well",
        ),
    ),
    Weakening(
        "last-names-a-best-that-is-not-saved",
        SAVES,
        "        progress = replace(progress, **self._saved_best._asdict())\n",
        "        progress = replace(progress)\n",
        (
            "cli/train/test_saves.py::test_saves_that_fail_at_random_never_disagree_and_a_resumed_run_ends_well",
        ),
    ),
    Weakening(
        "validation-of-an-unsaved-best-not-repeated",
        SAVES,
        "            progress, metrics = before\n",
        "            metrics = before[1]\n",
        (
            "cli/train/test_saves.py::test_a_run_whose_best_cannot_be_saved_fails_and_names_no_other_best",
        ),
    ),
    Weakening(
        "missing-best-unnoticed-on-resume",
        "charrnn/cli/train/resume.py",
        "        run.saves.resumed()\n",
        "",
        (
            "cli/train/test_saves.py::test_a_best_that_is_missing_or_older_is_replaced_by_the_best_on_disk",
        ),
    ),
    Weakening(
        "best-of-another-run-trusted",
        SAVES,
        "        return best if same else None\n",
        "        return best if same or best else None\n",
        (
            "cli/train/test_saves.py::test_a_best_that_is_missing_or_older_is_replaced_by_the_best_on_disk",
        ),
    ),
    Weakening(
        "rows-after-the-checkpoint-kept",
        METRICS,
        '                if row is None or row["step"] > step:\n',
        "                if row is None:\n",
        (
            "cli/runs/test_run_records.py::test_rows_after_a_step_and_lines_that_are_none_are_dropped",
        ),
    ),
    Weakening(
        "validation-row-stands-twice",
        METRICS,
        '                if row["step"] <= validated or not VALIDATION_FIELDS & row.keys():\n',
        '                if row["step"] <= step:\n',
        ("cli/runs/test_run_records.py::test_a_validation_that_is_repeated_has_one_row",),
    ),
    Weakening(
        "stale-temporaries-take-a-name",
        FOLDER,
        "                remove_stale_temporaries(path)  # of",
        "                # of",
        ("cli/runs/test_run_folder.py::test_temporary_files_of_a_killed_run_are_removed",),
    ),
    Weakening(
        "interrupted-run-ends-with-0",
        LOOP,
        '_resume_hint()}")\n            raise typer.Exit(self.stop.exit_code)\n',
        '_resume_hint()}")\n            raise typer.Exit(0)\n',
        ("cli/train/test_resume.py::test_an_interruption_says_how_to_go_on",),
    ),
    Weakening(
        "pipes-as-sources-opened",
        "charrnn/cli/runs/load_text.py",
        "    if not stat.S_ISREG(status.st_mode):\n",
        "    if stat.S_ISSOCK(status.st_mode):\n",
        ("cli/runs/test_load_text.py::test_pipes_devices_and_folders_are_no_sources",),
    ),
    Weakening(
        "size-of-sources-not-limited",
        "charrnn/cli/runs/load_text.py",
        "        if left < 0:\n",
        "        if left < -(2**60):\n",
        ("cli/runs/test_load_text.py::test_all_files_together_have_a_largest_size",),
    ),
    Weakening(
        "packed-sources-counted-packed",
        "charrnn/cli/runs/load_text.py",
        "unpacked_size(source, left) if is_packed(source) else size",
        "size",
        ("cli/runs/test_load_text.py::test_all_files_together_have_a_largest_size",),
    ),
    Weakening(
        "files-of-the-kernel-read",
        "charrnn/cli/runs/load_text.py",
        "        if size == 0:  # nothing",
        "        if size == -1:  # nothing",
        ("cli/runs/test_load_text.py::test_empty_files_and_those_of_the_kernel_are_left_out",),
    ),
    Weakening(
        "sources-read-without-being-named",
        "charrnn/cli/runs/load_text.py",
        '    say(f"reading {source_names(sources)}, which run.json names")\n',
        '    nothing(f"{say}")\n',
        (
            "cli/train/test_foreign_runs.py::test_the_text_that_run_json_names_is_named_before_it_is_read",
        ),
    ),
    Weakening(
        "workers-of-another-person-obeyed",
        "charrnn/cli/train/resume.py",
        "min(config.workers, cores) if wanted is None",
        "min(config.workers, 1000 * cores) if wanted is None",
        (
            "cli/train/test_foreign_runs.py::test_a_checkpoint_does_not_decide_how_many_processes_start",
        ),
    ),
    Weakening(
        "metrics-written-after-the-checkpoint",
        FOLDER,
        "        self.metrics.sync()\n        save_checkpoint(self.path / name, checkpoint)\n",
        "        save_checkpoint(self.path / name, checkpoint)\n        self.metrics.sync()\n",
        ("cli/runs/test_run_folder.py::test_rows_are_written_before_the_checkpoint_of_their_step",),
    ),
    Weakening(
        "fsync-of-metrics-dropped",
        METRICS,
        "                os.fsync(self._descriptor)\n",
        "                os.fstat(self._descriptor)\n",
        ("cli/runs/test_metrics_log.py::test_rows_are_fsynced_after_they_are_written",),
    ),
    Weakening(
        "cut-rows-kept",
        METRICS,
        "            self._truncate()\n            return\n",
        "            return\n",
        ("cli/runs/test_metrics_log.py::test_a_part_of_a_row_is_removed_at_once",),
    ),
    Weakening(
        "cut-rows-kept-if-they-cannot-be-removed",
        METRICS,
        "                os.ftruncate(self._descriptor, self._complete_bytes)\n"
        "            self._complete_bytes = os",
        "                self.failure = None\n            self._complete_bytes = os",
        (
            "cli/runs/test_metrics_log.py::test_a_part_of_a_row_that_cannot_be_removed_is_removed_later",
        ),
    ),
    Weakening(
        "rows-lost-on-a-full-disk",
        METRICS,
        "            self._truncate()\n            return\n",
        "            self._truncate()\n"
        "            self._pending_rows.clear()\n"
        "            return\n",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
    ),
    Weakening(
        "failed-metrics-end-a-run",
        METRICS,
        "            self._truncate()\n            return\n",
        "            self._truncate()\n            raise\n",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
    ),
    Weakening(
        "temporaries-of-a-reused-number-kept",
        FOLDER,
        "            remove_own_temporaries(path)\n",
        "            remove_stale_temporaries(path)\n",
        (
            "cli/runs/test_run_folder.py::test_temporary_files_of_a_killed_run_are_removed_if_a_process_has_its_number",
        ),
    ),
    Weakening(
        "temporaries-of-others-removed",
        FOLDER,
        "if TEMPORARY.fullmatch(path.name) and is_run_file(target):",
        "if TEMPORARY.fullmatch(path.name) and target:",
        (
            "cli/runs/test_run_folder.py::test_temporary_files_of_a_killed_run_are_removed_if_a_process_has_its_number",
        ),
    ),
)

ENDINGS = (
    Weakening(
        "workers-react-to-ctrl-c",
        CHILDREN,
        "    ignore_signals()\n    try:\n",
        "    try:\n",
        ("system/test_signals.py::test_a_child_ignores_them",),
    ),
    Weakening(
        "starting-workers-react-to-ctrl-c",
        CHILDREN,
        "        with signals_blocked():\n            self.process.start()\n",
        "        self.process.start()\n",
        ("system/test_signals.py::test_a_child_is_started_with_the_signals_blocked",),
    ),
    Weakening(
        "signals-stay-blocked",
        "charrnn/system/signals.py",
        "        signal.pthread_sigmask(signal.SIG_SETMASK, before)\n",
        "        before.clear()\n",
        ("system/test_signals.py::test_they_are_blocked_only_while_a_child_starts",),
    ),
    Weakening(
        "resource-tracker-unblocks-signals",
        "charrnn/system/signals.py",
        "    resource_tracker.ensure_running()\n",
        "    resource_tracker.getfd\n",
        (
            "system/test_signals.py::test_they_stay_blocked_where_the_start_of_a_child_starts_the_resource_tracker",
        ),
    ),
    Weakening(
        "second-ctrl-c-ignored",
        SIGNALS,
        "            os._exit(128 + number)\n",
        "            return\n",
        ("cli/train/test_resume.py::test_a_second_interruption_ends_at_once",),
    ),
    Weakening(
        "signal-delivered-twice-counts-twice",
        SIGNALS,
        "            if now - self.at < SAME_SIGNAL_SECONDS:\n                return\n",
        "",
        ("cli/train/test_resume.py::test_a_second_interruption_ends_at_once",),
    ),
    Weakening(
        "nohup-ignored",
        SIGNALS,
        "        if number in (signal.SIGINT, signal.SIGTERM) or usual is not signal.SIG_IGN:\n",
        "        if number:\n",
        ("cli/runs/test_signals.py::test_nohup_keeps_a_run_alive",),
    ),
    Weakening(
        "sigterm-ends-without-saving",
        "charrnn/system/platform.py",
        '    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")\n',
        '    for name in ("SIGINT", "SIGHUP", "SIGBREAK")\n',
        ("system/test_signals.py::test_ending_signals_are_those_that_the_platform_has",),
    ),
    Weakening(
        "exit-code-of-sigterm-is-130",
        SIGNALS,
        "        return 0 if _STATE.received is None else 128 + _STATE.received\n",
        "        return 0 if _STATE.received is None else 130\n",
        ("cli/train/test_resume.py::test_an_interruption_says_how_to_go_on",),
    ),
    Weakening(
        "interrupted-validation-counts",
        "charrnn/training_config.py",
        "        if self.step <= self.evaluated:\n",
        "        if self.step <= self.evaluated + 1:\n",
        ("training/test_trainer.py::test_events_come_in_order",),
    ),
    Weakening(
        "gradients-of-ranks-not-added",
        "charrnn/system/mpi.py",
        "            pieces[0] += piece\n",
        "            pieces[0] += 0.99 * piece\n",
        (
            "training/test_rank_pool.py::test_ranks_compute_what_one_process_and_as_many_workers_compute",
        ),
    ),
    Weakening(
        "states-of-a-failed-step-of-ranks-kept",
        "charrnn/training/rank_pool.py",
        "            self.states.vector[...] = self._states_before\n",
        "",
        (
            "training/test_rank_pool.py::test_ranks_compute_what_one_process_and_as_many_workers_compute",
        ),
    ),
    Weakening(
        "states-of-a-failed-step-kept",
        "charrnn/training/worker_pool.py",
        "            self.states.vector[...] = self._states_before\n",
        "",
        (
            "training/test_worker_pool.py::test_a_step_that_a_worker_does_not_end_leaves_the_carried_states",
        ),
    ),
    Weakening(
        "death-of-a-worker-is-a-traceback",
        "charrnn/training/worker_pool.py",
        "        except DISCONNECTED as error:\n",
        "        except TimeoutError as error:\n",
        ("training/test_worker_pool.py::test_a_killed_worker_is_an_error_and_not_a_hang",),
    ),
    Weakening(
        "checkpoint-and-text-errors-swapped",
        "charrnn/errors.py",
        "    exit_code = 3\n",
        "    exit_code = 4\n",
        ("cli/test_errors.py::test_every_mistake_has_its_line_and_its_code",),
    ),
    Weakening(
        "divergence-ends-with-1",
        "charrnn/errors.py",
        "    exit_code = 6\n",
        "    exit_code = 1\n",
        ("cli/test_errors.py::test_divergence_ends_with_its_code_and_the_last_good_checkpoint",),
    ),
    Weakening(
        "broken-pipe-is-an-error",
        "charrnn/cli/app.py",
        "        abandon_stdout()\n        raise typer.Exit(0) from error\n",
        "        abandon_stdout()\n        raise typer.Exit(5) from error\n",
        ("cli/test_errors.py::test_a_reader_who_has_gone_away_is_no_error",),
    ),
    Weakening(
        "help-without-a-reader-is-an-error",
        "charrnn/cli/app.py",
        " or isinstance(error.__context__, BrokenPipeError)\n",
        "\n",
        ("cli/test_errors.py::test_help_without_a_reader_is_no_error",),
    ),
    Weakening(
        "every-exit-is-that-of-a-reader",
        "charrnn/cli/app.py",
        "        if not reader_ended(error):\n            raise\n        abandon_stdout()\n",
        "        abandon_stdout()\n",
        ("cli/test_errors.py::test_an_exit_without_a_broken_pipe_keeps_its_code",),
    ),
    Weakening(
        "completion-without-a-reader-is-an-error",
        "charrnn/__main__.py",
        "        raise SystemExit(0) from error\n",
        "        raise\n",
        ("cli/test_completion.py::test_completion_without_a_reader_is_no_error",),
    ),
    Weakening(
        "full-stdout-unnoticed",
        SAFE_TEXT,
        "    except BrokenPipeError:\n        raise\n    except OSError as error:\n",
        "    except BrokenPipeError:\n        raise\n    except OSError as error:\n"
        "        if error.errno == errno.ENOSPC:\n            return\n",
        ("cli/test_errors.py::test_a_full_disk_behind_stdout_is_one_line",),
    ),
    Weakening(
        "closed-stderr-ends-a-run",
        "charrnn/cli/output/standard_streams.py",
        "            except (OSError, ValueError):  # ValueError: closed\n",
        "            except ZeroDivisionError:  # ValueError: closed\n",
        (
            "cli/test_typed_text.py::test_messages_that_cannot_be_written_do_not_stop_the_text",
            "cli/train/test_exits.py::test_a_run_outlives_its_messages",
        ),
    ),
    Weakening(
        "signal-lost-in-a-callback",
        SIGNALS,
        "    sys.unraisablehook = on_unraisable\n",
        "    on_unraisable.__doc__ = None\n",
        ("cli/runs/test_signals.py::test_a_signal_whose_exception_python_discards_arrives_again",),
    ),
)

RESUME = (
    Weakening(
        "optimiser-state-forgotten",
        SNAPSHOT,
        "        trainer.optimiser.state[slot][...] = parameters.vector\n",
        "        assert trainer.optimiser.state[slot].shape == parameters.vector.shape\n",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "count-of-updates-forgotten",
        SNAPSHOT,
        "    trainer.optimiser.updates = state.updates\n",
        "",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "carried-state-forgotten",
        SNAPSHOT,
        "    trainer.states.vector[...] = state.states.vector\n",
        "",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "trained-weights-replaced-by-their-average",
        SNAPSHOT,
        "(state.parameters or checkpoint.parameters).vector",
        "checkpoint.parameters.vector",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "progress-forgotten",
        SNAPSHOT,
        "    trainer.progress = Progress(**vars(state.progress))\n",
        "    trainer.progress = Progress(state.progress.step)\n",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "progress-shared-with-the-checkpoint",
        SNAPSHOT,
        "    trainer.progress = Progress(**vars(state.progress))\n",
        "    trainer.progress = state.progress\n",
        (
            "checkpointing/test_checkpoint.py::test_restoring_does_not_share_progress_with_the_checkpoint",
        ),
    ),
    Weakening(
        "position-in-the-text-forgotten",
        "charrnn/data/text_batches.py",
        "        epoch, number = divmod(step, self.steps_per_epoch)\n",
        "        step = self.calls = getattr(self, 'calls', -1) + 1\n"
        "        epoch, number = divmod(step, self.steps_per_epoch)\n",
        ("data/test_text_batches.py::test_a_window_continues_its_sequence",),
    ),
    Weakening(
        "generator-begins-again-on-resume",
        "charrnn/randomness.py",
        "    return np.random.default_rng((seed, purpose, *when))\n",
        "    known = generator.__dict__.setdefault('known', {})\n"
        "    return known.setdefault((seed, purpose), np.random.default_rng((seed, purpose)))\n",
        ("training/test_trainer.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "seed-ignored",
        "charrnn/randomness.py",
        "default_rng((seed, purpose, *when))",
        "default_rng((purpose, *when))",
        ("training/test_trainer.py::test_the_same_seed_trains_the_same_and_another_does_not",),
    ),
    Weakening(
        "dropout-the-same-at-every-step",
        "charrnn/training/worker_pool.py",
        "DropoutDraws(self.batch_config.seed, step, self.part.start)",
        "DropoutDraws(self.batch_config.seed, 0, self.part.start)",
        ("training/test_worker_pool.py::test_dropout_masks_are_a_function_of_the_step",),
    ),
    Weakening(
        "dropout-the-same-for-every-worker",
        "charrnn/training/worker_pool.py",
        "DropoutDraws(self.batch_config.seed, step, self.part.start)",
        "DropoutDraws(self.batch_config.seed, step)",
        (
            "training/test_worker_pool.py::test_dropout_is_the_same_however_the_rows_are_shared",
            "training/test_worker_pool.py::"
            "test_dropout_of_pairs_is_the_same_however_they_are_shared",
        ),
    ),
)

DIVERGENCE = (
    Weakening(
        "divergence-unnoticed",
        TRAINER,
        "            if not (np.isfinite(nats) and np.isfinite(before)):\n",
        "            if before is None:\n",
        ("training/test_trainer.py::test_a_nan_weight_stops_the_run_and_changes_nothing_else",),
    ),
    Weakening(
        "infinite-gradient-unnoticed",
        TRAINER,
        "            if not (np.isfinite(nats) and np.isfinite(before)):\n",
        "            if not np.isfinite(nats):\n",
        ("training/test_trainer.py::test_an_infinite_gradient_of_a_finite_loss_stops_the_run",),
    ),
    Weakening(
        "infinite-validation-loss-unnoticed",
        TRAINER,
        "        if not np.isfinite(nats):\n            raise DivergedError(\n",
        "        if nats is None:\n            raise DivergedError(\n",
        ("training/test_trainer.py::test_an_infinite_validation_loss_is_divergence",),
    ),
    Weakening(
        "non-finite-weights-saved",
        SNAPSHOT,
        "        if not np.isfinite(array).all():\n",
        "        if array is None:\n",
        (
            "training/test_trainer.py::test_no_learning_rate_gets_a_number_that_is_none_into_a_checkpoint",
        ),
    ),
    Weakening(
        "clipping-skipped",
        "charrnn/optim/clipping.py",
        "    gradient *= max_norm / norm_before\n",
        "",
        ("optim/test_clipping.py::test_clipping_by_norm_keeps_the_direction_and_the_limit",),
    ),
    Weakening(
        "clipping-not-called",
        TRAINER,
        "            after = self.clip(gradient, before)\n",
        "            after = min(before, self.config.clip_norm or before)\n",
        ("training/test_trainer.py::test_clipping_by_value_binds_every_element",),
    ),
    Weakening(
        "norm-overflows",
        "charrnn/optim/clipping.py",
        "    if MIN_EXACT_SQUARE < square < math.inf:\n",
        "    if MIN_EXACT_SQUARE < square <= math.inf:\n",
        ("optim/test_clipping.py::test_norm_reaches_as_far_as_the_dtype",),
    ),
    Weakening(
        "updates-skipped-without-limit",
        TRAINER,
        "        if progress.nonfinite >= MAX_NONFINITE:\n",
        "        if progress.nonfinite >= 1000 * MAX_NONFINITE:\n",
        ("training/test_nonfinite.py::test_a_run_stops_after_some_in_a_row",),
    ),
    Weakening(
        "skipping-with-weights-that-are-nan",
        TRAINER,
        "        if skipping and not np.isfinite(self.parameters.vector).all():\n",
        "        if skipping and self.parameters is None:\n",
        ("training/test_nonfinite.py::test_skip_cannot_help_where_a_weight_is_nan",),
    ),
    Weakening(
        "rollback-keeps-the-learning-rate",
        TRAINER,
        "        self.progress.lr_scale *= ROLLBACK_LR_FACTOR\n",
        "        self.progress.lr_scale *= 1\n",
        ("training/test_nonfinite.py::test_a_rollback_halves_the_learning_rate_from_then_on",),
    ),
    Weakening(
        "rollback-keeps-the-optimiser",
        TRAINER,
        "            self.optimiser.state[slot][...] = array.vector\n",
        "            assert array is not self.optimiser.state[slot]\n",
        ("training/test_nonfinite.py::test_rollback_recovers_from_a_nan_in_each_parameter",),
    ),
    Weakening(
        "rollback-keeps-the-carried-states",
        TRAINER,
        "        self.states.vector[...] = 0\n",
        "        self.updating = True\n",
        ("training/test_nonfinite.py::test_rollback_recovers_from_a_nan_in_each_parameter",),
    ),
    Weakening(
        "rollback-points-forgotten-on-resume",
        SNAPSHOT,
        "            rollback=tuple(trainer.rollback),\n",
        "",
        ("training/test_nonfinite.py::test_a_resumed_run_is_the_one_that_never_stopped",),
    ),
    Weakening(
        "rollback-points-of-later-steps-accepted",
        CHECKPOINT,
        "            if not 0 <= updates <= at <= step:\n",
        "            if not 0 <= updates <= at:\n",
        ("training/test_nonfinite.py::test_a_damaged_rollback_point_is_refused",),
    ),
)

TERMINALS = (
    Weakening(
        "c0-controls-shown",
        SAFE_TEXT,
        'for code in range(0x20) if chr(code) not in "\\n\\t"}',
        'for code in range(0x20) if chr(code) not in "\\n\\t\\x1b"}',
        ("cli/output/test_safe_text.py::test_visible_text_holds_nothing_that_steers_a_terminal",),
    ),
    Weakening(
        "del-shown",
        SAFE_TEXT,
        '    table[0x7F] = "␡"\n',
        "",
        ("cli/output/test_safe_text.py::test_visible_text_holds_nothing_that_steers_a_terminal",),
    ),
    Weakening(
        "c1-controls-shown",
        SAFE_TEXT,
        "range(0x80, 0xA0)",
        "range(0x80, 0x9B)",
        ("cli/output/test_safe_text.py::test_visible_text_holds_nothing_that_steers_a_terminal",),
    ),
    Weakening(
        "direction-controls-shown",
        SAFE_TEXT,
        r'BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066',
        r'BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u2066',
        ("cli/output/test_safe_text.py::test_replacements_show_what_was_there",),
    ),
    Weakening(
        "line-separators-shown",
        SAFE_TEXT,
        'SEPARATORS = "\\u2028\\u2029"\n',
        'SEPARATORS = "\\u2028"\n',
        ("cli/output/test_safe_text.py::test_visible_text_holds_nothing_that_steers_a_terminal",),
    ),
    Weakening(
        "surrogates-end-a-command",
        SAFE_TEXT,
        '    table |= dict.fromkeys(range(0xD800, 0xE000), "\\N{REPLACEMENT CHARACTER}")\n',
        "",
        ("cli/output/test_safe_text.py::test_visible_text_holds_nothing_that_steers_a_terminal",),
    ),
    Weakening(
        "lines-of-a-name-kept",
        SAFE_TEXT,
        '    return visible(text).replace("\\n", "␊").replace("\\t", "␉")\n',
        '    return visible(text).replace("\\t", "␉")\n',
        ("cli/output/test_safe_text.py::test_one_line_is_one",),
    ),
    Weakening(
        "sample-not-sanitised",
        SAFE_TEXT,
        "in map(visible, decode_utf_8(chunks) if as_bytes else chunks):\n",
        "in map(str, decode_utf_8(chunks) if as_bytes else chunks):\n",
        (
            "cli/test_sample.py::test_a_terminal_gets_no_control_characters_and_a_pipe_the_exact_text",
        ),
    ),
    Weakening(
        "sample-sanitised-in-a-pipe",
        SAFE_TEXT,
        "        for text in chunks if at_once else joined(chunks):\n",
        "        for text in chunks if at_once else joined(map(visible, chunks)):\n",
        (
            "cli/test_sample.py::test_a_terminal_gets_no_control_characters_and_a_pipe_the_exact_text",
        ),
    ),
    Weakening(
        "answers-kept-back-from-a-pipe",
        SAFE_TEXT,
        "            if at_once:\n                out.flush()\n",
        "",
        ("cli/test_predict_lines.py::test_a_slow_pipe_is_answered_line_by_line",),
    ),
    Weakening(
        "wrong-line-of-a-batch-named",
        "charrnn/cli/answer_writer.py",
        "{place.format(number + end)}",
        "{place.format(number)}",
        ("cli/test_predict_lines.py::test_wrong_lines_anywhere_leave_the_others_in_their_places",),
    ),
    Weakening(
        "prefixes-read-from-the-wrong-end",
        "charrnn/inference/prefix_tree.py",
        "first[:count] - t if reverse else first[:count] + t",
        "first[:count] - t if reverse else first[:count] + 0 * t",
        ("inference/test_prompt_readers.py::test_a_tree_gives_the_answers_of_one_by_one",),
    ),
    Weakening(
        "ended-answers-go-on-in-a-beam",
        "charrnn/inference/search.py",
        "        following[ended, rules.end] = 0.0  # a finished answer keeps its score\n",
        "",
        ("inference/test_search.py::test_the_search_finds_what_one_by_lists_finds",),
    ),
    Weakening(
        "error-line-not-sanitised",
        "charrnn/cli/app.py",
        '    line = f"charrnn: error: {label(message)}"\n',
        '    line = f"charrnn: error: {message}"\n',
        ("cli/test_errors.py::test_names_with_escape_codes_and_line_ends_are_made_visible",),
    ),
    Weakening(
        "error-line-not-limited",
        "charrnn/cli/app.py",
        "    if len(line) > MAX_LINE:\n",
        "    if len(line) > 100 * MAX_LINE:\n",
        ("cli/test_errors.py::test_a_very_long_name_does_not_make_a_very_long_line",),
    ),
    Weakening(
        "notes-not-sanitised",
        "charrnn/cli/output/console.py",
        '    say(f"charrnn: note: {label(message)}")\n',
        '    tqdm.write(f"charrnn: note: {message}", file=sys.stderr)\n',
        (
            "cli/output/test_stream_writers.py::test_no_writer_lets_control_characters_reach_a_terminal",
        ),
    ),
    Weakening(
        "facts-not-sanitised",
        "charrnn/cli/output/console.py",
        "Text(name), Text(label(value))",
        "Text(name), Text(value)",
        ("cli/test_info.py::test_hostile_vocabularies_and_names_are_made_visible",),
    ),
    Weakening(
        "markup-interpreted",
        "charrnn/cli/output/console.py",
        "Text(name), Text(label(value))",
        "Text(name), label(value)",
        ("cli/test_info.py::test_hostile_vocabularies_and_names_are_made_visible",),
    ),
    Weakening(
        "unencodable-characters-end-a-command",
        "charrnn/cli/output/standard_streams.py",
        '            stream.reconfigure(errors="backslashreplace")\n',
        '            stream.reconfigure(errors="strict")\n',
        ("cli/test_console_encodings.py::test_no_character_ends_a_command",),
    ),
    Weakening(
        "nan-in-json",
        METRICS,
        "    return json.dumps(_nan_to_null(value), allow_nan=False)\n",
        "    return json.dumps(value)\n",
        ("test_doctests.py::test_examples_give_what_they_show",),
    ),
    Weakening(
        "tables-not-sanitised",
        "charrnn/cli/output/console.py",
        "            text = segment.text if segment.control else visible(segment.text)\n",
        "            text = segment.text\n",
        (
            "cli/output/test_stream_writers.py::test_no_writer_lets_control_characters_reach_a_terminal",
        ),
    ),
    Weakening(
        "json-and-csv-not-sanitised",
        SAFE_TEXT,
        "            out.write(visible(text))\n",
        "            out.write(text)\n",
        (
            "cli/output/test_stream_writers.py::test_csv_shows_names_and_texts_on_a_terminal_and_keeps_them_in_a_pipe",
        ),
    ),
    Weakening(
        "json-and-csv-sanitised-in-a-pipe",
        SAFE_TEXT,
        "            byte_writer(out)(utf_8(text))\n\n\n",
        "            byte_writer(out)(utf_8(visible(text)))\n\n\n",
        (
            "cli/output/test_stream_writers.py::test_csv_shows_names_and_texts_on_a_terminal_and_keeps_them_in_a_pipe",
        ),
    ),
    Weakening(
        "messages-not-sanitised",
        SAFE_TEXT,
        '    sys.stderr.write(f"{visible(line)}\\n")\n',
        '    sys.stderr.write(f"{line}\\n")\n',
        (
            "cli/output/test_stream_writers.py::test_no_writer_lets_control_characters_reach_a_terminal",
        ),
    ),
    Weakening(
        "lines-above-the-bar-not-sanitised",
        "charrnn/cli/output/console.py",
        "    tqdm.write(visible(message), file=sys.stderr)\n",
        "    tqdm.write(message, file=sys.stderr)\n",
        (
            "cli/output/test_stream_writers.py::test_no_writer_lets_control_characters_reach_a_terminal",
        ),
    ),
    Weakening(
        "text-after-the-bar-not-sanitised",
        "charrnn/cli/output/console.py",
        "    bar.set_description_str(one_line(text), refresh=False)\n",
        "    bar.set_description_str(text, refresh=False)\n",
        ("cli/output/test_stream_writers.py::test_a_bar_shows_control_characters",),
    ),
    Weakening(
        "csv-printed-past-the-sanitiser",
        "charrnn/cli/inspect/command.py",
        "        write_plain(inspections_as_csv(found))\n",
        '        print(inspections_as_csv(found), end="")\n',
        (
            "cli/output/test_stream_writers.py::test_only_named_modules_write_to_the_standard_streams",
        ),
    ),
)

READING = (
    Weakening(
        "gzip-bomb-unpacked",
        TEXTS,
        "        if size > SIZE_LIMIT:\n",
        "        if size > 1000 * SIZE_LIMIT:\n",
        ("data/test_text_files.py::test_a_gzip_bomb_is_stopped_before_it_takes_memory",),
    ),
    Weakening(
        "byte-order-mark-kept",
        DECODING,
        "            rest = text.lstrip(MARK)\n",
        "            rest = text\n",
        (
            "data/test_text_files.py::test_what_is_not_a_text_is_refused_with_the_place_and_a_way_out",
        ),
    ),
    Weakening(
        "crlf-translated",
        TEXTS,
        "    return normalised(text, options), facts\n",
        '    return normalised(text.replace("\\r\\n", "\\n"), options), facts\n',
        ("data/test_text_files.py::test_a_text_is_kept_to_the_letter_except_its_mark",),
    ),
    Weakening(
        "undecodable-bytes-replaced",
        DECODING,
        "        text = str(content, codec)\n",
        '        text = str(content, codec, "replace")\n',
        (
            "data/test_text_files.py::test_what_is_not_a_text_is_refused_with_the_place_and_a_way_out",
        ),
    ),
    Weakening(
        "surrogates-in-a-text-accepted",
        DECODING,
        "    if found := SURROGATES.search(text):\n",
        "    if found := SURROGATES.fullmatch(text):\n",
        ("data/test_bad_files.py::test_every_way_of_reading_gives_the_same_answer",),
    ),
    Weakening(
        "devices-read",
        "charrnn/data/file_discovery.py",
        "stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISFIFO(mode)",
        "stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_IFMT(mode)",
        ("data/test_text_files.py::test_a_device_is_refused",),
    ),
    Weakening(
        "change-of-a-large-text-unnoticed",
        "charrnn/data/large_text_files.py",
        '        if characters != self.fingerprint["characters"]:\n',
        "        if not characters:\n",
        ("data/test_large_text_files.py::test_a_text_that_changes_while_it_is_read_is_refused",),
    ),
    Weakening(
        "unknown-characters-skipped-in-silence",
        "charrnn/data/vocabulary.py",
        '                if on_unknown == "error":\n',
        '                if on_unknown != "skip":\n                    pass\n'
        '                elif on_unknown == "error":\n',
        (
            "data/test_vocabulary.py::test_unknown_characters_are_named_visibly_with_the_first_place",
        ),
    ),
    Weakening(
        "memory-not-checked",
        "charrnn/system/memory.py",
        "    if limit is not None and size > limit:\n",
        "    if limit is not None and size > 1e6 * limit:\n",
        ("test_limits.py::TestMemory::test_what_does_not_fit_is_refused",),
    ),
    Weakening(
        "huge-settings-accepted",
        "charrnn/limits.py",
        "return bool(lowest and (value < self.high if self.below else value <= self.high))",
        "return bool(lowest)",
        ("test_limits.py::test_every_number_has_limits",),
    ),
    Weakening(
        "end-drawn-as-first-symbol",
        "charrnn/inference/predictor.py",
        "        logits[:, self.pairing.end_id] = -np.inf  # no answer in training was empty\n",
        "",
        ("inference/test_predictor.py::test_drawn_answers_have_the_model_s_frequencies",),
    ),
    Weakening(
        "sampling-from-layouts-without-an-end",
        "charrnn/inference/predictor.py",
        "        if not self.pairing.layout_spec.feeds_back:\n"
        '            raise self._unfit("sample"',
        '        if self.pairing.layout_spec is None:\n            raise self._unfit("sample"',
        ("test_public_api.py::test_an_argument_that_cannot_be_used_is_one_clear_error",),
    ),
    Weakening(
        "ids-outside-the-vocabulary-scored",
        "charrnn/inference/model.py",
        "        if array.size and not (array.min() >= 0 and array.max() <= last):\n",
        "        if array.size > last + 10**9:\n",
        ("test_public_api.py::test_an_argument_that_cannot_be_used_is_one_clear_error",),
    ),
    Weakening(
        "paths-with-nul-opened",
        "charrnn/checkpointing/lookup.py",
        '    if b"\\0" in encoded:\n',
        '    if encoded == b"\\0":\n',
        ("test_public_api.py::test_an_argument_that_cannot_be_used_is_one_clear_error",),
    ),
)

NUMBERS = (
    Weakening(
        "gradient-of-a-gate-scaled",
        "charrnn/nn/cells/lstm.py",
        "        np.multiply(self.dh, self.slope[2, t], out=self.du[2, t])\n",
        "        np.multiply(self.dh, 1.01 * self.slope[2, t], out=self.du[2, t])\n",
        ("nn/test_gradient_check.py::test_every_gradient_is_the_complex_step_derivative",),
    ),
    Weakening(
        "gradient-through-the-memory-scaled",
        "charrnn/nn/cells/lstm.py",
        "        self.dc *= self.a[1, t]\n",
        "        self.dc *= 1.001 * self.a[1, t]\n",
        ("nn/test_gradient_check.py::test_every_gradient_is_the_complex_step_derivative",),
    ),
    Weakening(
        "gradient-of-the-state-not-scaled",
        "charrnn/nn/cells/mlstm.py",
        "        dh *= self.a[SCALE, t]\n",
        "        dh *= 1\n",
        ("nn/test_gradient_check.py::test_every_gradient_is_the_complex_step_derivative",),
    ),
    Weakening(
        "gradient-of-the-weights-by-the-state-not-scaled",
        "charrnn/nn/cells/mlstm.py",
        "        return self.m\n",
        "        return self.h[:-1]\n",
        ("nn/test_gradient_check.py::test_every_gradient_is_the_complex_step_derivative",),
    ),
    Weakening(
        "smoothing-not-taken-from-the-target",
        "charrnn/nn/ops.py",
        ".ravel()] -= 1 - label_smoothing\n",
        ".ravel()] -= 1\n",
        ("nn/test_ops.py::test_cross_entropy_backward_is_the_complex_step_derivative",),
    ),
    Weakening(
        "probabilities-of-the-inputs-for-those-of-the-targets",
        "charrnn/data/text_batches.py",
        "self.probabilities[places[1:]]",
        "self.probabilities[places[:-1]]",
        ("training/test_distillation.py::test_a_sure_teacher_is_the_text_itself",),
    ),
    Weakening(
        "sequences-of-the-text-read-without-what-is-before-them",
        "charrnn/training/distillation.py",
        "network.reset_state(starts == 1)",
        "network.reset_state(starts >= 1)",
        (
            "training/test_distillation.py::"
            "test_the_probabilities_of_the_text_are_those_of_the_ensemble",
        ),
    ),
    Weakening(
        "teachers-that-changed-are-not-noticed",
        "charrnn/cli/train/distillation.py",
        "if again.record.generated != prepared.record.generated:",
        "if again.record.generated is None:",
        ("cli/train/test_teachers.py::test_teachers_that_have_changed_or_are_gone_stop_a_resume",),
    ),
    Weakening(
        "trials-of-a-sweep-train-teachers",
        "charrnn/cli/sweep/plan.py",
        'else ("--train-teachers", "0")',
        "else ()",
        ("cli/sweep/test_plan.py::test_trials_train_no_teachers",),
    ),
    Weakening(
        "teachers-of-a-moved-run-not-found",
        "charrnn/cli/train/distillation.py",
        "path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)",
        "str(path)",
        ("cli/train/test_train_teachers.py::test_a_moved_run_finds_the_teachers_in_its_folder",),
    ),
    Weakening(
        "given-networks-get-teachers",
        "charrnn/cli/train/setup.py",
        "        or not request.given.keys() <= ALLOWED_WITH_TEACHERS\n",
        "",
        (
            "cli/train/test_train_teachers.py::"
            "test_teachers_by_default_only_where_nothing_of_the_network_is_given",
        ),
    ),
    Weakening(
        "teachers-take-their-share-again-after-an-interruption",
        "charrnn/cli/train/teacher_runs.py",
        "share = TEACHER_SHARE * left / self.count",
        "share = TEACHER_SHARE",
        ("cli/train/test_train_teachers.py::test_the_minutes_of_teachers_are_their_share",),
    ),
    Weakening(
        "scale-of-the-state-shared-by-symbols",
        "charrnn/inference/batch_steps.py",
        "            h *= x[:, -layer.H :]\n",
        "            h *= x[:1, -layer.H :]\n",
        ("inference/test_prompt_readers.py::test_a_tree_gives_the_answers_of_one_by_one",),
    ),
    Weakening(
        "direct-path-of-the-gru-dropped",
        "charrnn/nn/cells/gru.py",
        "        self.dh += direct\n",
        "        self.dh += 0.999 * direct\n",
        ("nn/test_gradient_check.py::test_every_gradient_is_the_complex_step_derivative",),
    ),
    Weakening(
        "gates-of-the-gru-swapped",
        "charrnn/nn/cells/gru.py",
        "        r, z = sigmoid(a[:2], out=a[:2])\n        n = a[2]",
        "        z, r = sigmoid(a[:2], out=a[:2])\n        n = a[2]",
        ("nn/test_cells_by_formula.py::test_a_cell_computes_the_formula_of_its_docstring",),
    ),
    Weakening(
        "adagrad-epsilon-moved",
        "charrnn/optim/optimisers.py",
        "        np.sqrt(s, out=scratch)\n        scratch += self.epsilon\n"
        "        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)\n\n\n"
        "class DampedAdagrad",
        "        np.sqrt(s + self.epsilon, out=scratch)\n"
        "        w -= np.multiply(np.divide(g, scratch, out=scratch), lr, out=scratch)\n\n\n"
        "class DampedAdagrad",
        ("nn/test_pytorch_reference.py::test_an_optimiser_takes_the_steps_of_pytorch",),
    ),
    Weakening(
        "bias-correction-one-step-late",
        "charrnn/optim/optimisers.py",
        "lr / (1 - self.beta1**self.updates)",
        "lr / (1 - self.beta1 ** (self.updates + 1))",
        ("nn/test_pytorch_reference.py::test_an_optimiser_takes_the_steps_of_pytorch",),
    ),
    Weakening(
        "state-carried-from-one-step-before",
        "charrnn/nn/cells/base.py",
        "            state[0] = state[-1]\n",
        "            state[0] = state[-2]\n",
        ("training/test_truncation.py::test_two_carried_halves_equal_one_window",),
    ),
    Weakening(
        "batch-shifted-by-one",
        "charrnn/data/text_batches.py",
        "        starts = self._row_starts[rows] + number * self.T + self._shift(epoch)\n",
        "        starts = self._row_starts[rows] + number * (self.T - 1) + self._shift(epoch)\n",
        ("data/test_text_batches.py::test_an_epoch_reads_a_stretch_of_the_text_once",),
    ),
    Weakening(
        "first-character-of-a-text-not-scored",
        "charrnn/evaluation/text.py",
        "where=at[:-1] < predictions)",
        "where=(at[:-1] < predictions) & (at[:-1] > 0))",
        ("evaluation/test_text.py::test_one_stream_is_read_as_a_loop_would",),
    ),
    Weakening(
        "parallel-sequences-begin-from-zero",
        "charrnn/evaluation/text.py",
        "np.roll(rows, 1, axis=0)",
        "np.zeros_like(rows)",
        ("evaluation/test_text.py::test_parallel_sequences_agree_with_one_stream",),
    ),
    Weakening(
        "temperature-applied-twice",
        "charrnn/inference/sampling.py",
        "        y /= sampling.temperature\n",
        "        y /= sampling.temperature**2\n",
        ("inference/test_sampling.py::test_rows_are_probabilities_whatever_the_logits",),
    ),
    Weakening(
        "nucleus-one-character-short",
        "charrnn/inference/sampling.py",
        "    before = np.cumsum(ranked, axis=-1) - ranked\n",
        "    before = np.cumsum(ranked, axis=-1)\n",
        ("inference/test_sampling.py::test_the_nucleus_is_exact_on_a_worked_example",),
    ),
    Weakening(
        "padding-read-from-the-end",
        "charrnn/nn/bidirectional.py",
        "np.where(self.after, self._times, self.lengths - 1 - self._times)",
        "np.broadcast_to(T - 1 - self._times, (T, B))",
        ("nn/test_bidirectional.py::test_more_padding_changes_no_prediction_and_no_gradient",),
    ),
    Weakening(
        "any-use-of-backward-states-accepted",
        CHECKS,
        "    if use not in (None, fits):\n",
        "    if False:\n",
        (
            "training/test_bidirectional.py::test_a_checkpoint_whose_use_does_not_fit_its_layout_is_refused",
        ),
    ),
    Weakening(
        "gradients-of-workers-not-added",
        "charrnn/training/worker_pool.py",
        "                self.gradient += gradient\n",
        "                self.gradient += 0.99 * gradient\n",
        ("training/test_worker_pool.py::test_two_processes_compute_what_one_computes",),
    ),
)

EXPORT: tuple[Weakening, ...] = (
    Weakening(
        "json-in-the-page-not-escaped",
        "charrnn/export/web_page.py",
        'json.dumps(value).replace("<", "\\\\u003c")',
        "json.dumps(value)",
        ("export/test_web_page.py::test_names_are_escaped",),
    ),
    Weakening(
        "imported-numbers-not-checked",
        "charrnn/export/pytorch_modules.py",
        "    require_finite(found)\n",
        "",
        ("export/test_pytorch_weights.py::test_what_is_no_network_of_charrnn_is_refused_by_name",),
    ),
    Weakening(
        "pairs-of-other-sizes-imported",
        "charrnn/export/pytorch_modules.py",
        "    require_symbols(inputs, outputs, pairing)\n",
        "",
        ("export/test_files.py::test_symbols_of_pairs_that_do_not_fit_are_refused",),
    ),
    Weakening(
        "options-without-a-form-exported",
        "charrnn/export/expressible.py",
        "if field.name not in NO_EFFECT and value != field.default:",
        "if field.name in NO_EFFECT and value is Ellipsis:",
        (
            "export/test_pytorch_weights.py::test_every_field_of_a_network_has_no_effect_or_is_refused",
        ),
    ),
    Weakening(
        "empty-tensors-read",
        "charrnn/export/safetensors_file.py",
        'if 0 in tensor["shape"]:',
        'if 0 in tensor["shape"] and not name:',
        ("export/test_files.py::test_empty_tensors_are_refused",),
    ),
    Weakening(
        "exported-over-another-file",
        "charrnn/cli/export.py",
        "    check_output(target, force=force)\n",
        "",
        ("cli/test_export.py::test_a_file_that_exists_is_kept_unless_forced",),
    ),
    Weakening(
        "missing-trials-exit-0",
        "charrnn/cli/sweep/running.py",
        "    require_complete(folder, plan, rows)\n",
        "",
        (
            "cli/sweep/test_sweep.py::test_trials_without_a_result_are_named_and_decide_the_exit_code",
        ),
    ),
)

REPORT = (
    Weakening(
        "texts-are-html-in-reports",
        "charrnn/cli/report/page.py",
        "autoescape=True",
        "autoescape=False",
        ("cli/report/test_report.py::test_hostile_texts_and_names_stay_text",),
    ),
    Weakening(
        "control-characters-in-reports",
        "charrnn/cli/report/page.py",
        "return visible(value).replace(",
        "return value.replace(",
        ("cli/report/test_report.py::test_hostile_texts_and_names_stay_text",),
    ),
    Weakening(
        "html-in-model-cards",
        "charrnn/cli/report/markdown.py",
        '.replace("<", "&lt;")',
        "",
        ("cli/report/test_report.py::test_hostile_texts_stay_text_in_markdown",),
    ),
    Weakening(
        "report-over-another-file",
        "charrnn/cli/report/command.py",
        "    if not any(marker in content for marker in MARKERS):",
        "    if not content:",
        ("cli/report/test_report.py::test_only_an_earlier_report_is_replaced",),
    ),
    Weakening(
        "folders-in-reports",
        "charrnn/cli/report/run_data.py",
        "return tuple(Path(source).name for source in sources)",
        "return tuple(sources)",
        ("cli/report/test_report.py::test_the_page_says_what_was_trained_and_how_to_repeat_it",),
    ),
)

MIXTURES = (
    Weakening(
        "n-grams-of-the-held-out-part",
        "charrnn/cli/combine.py",
        'vocabulary.encode(corpus.part(begin, end), "skip")',
        'vocabulary.encode(corpus.part(begin, stop), "skip")',
        ("cli/test_combine.py::test_only_the_training_part_is_counted",),
    ),
    Weakening(
        "exponents-scored-where-they-were-fitted",
        "charrnn/inference/mixture_fit.py",
        "first.total(second.fitted()) + second.total(first.fitted())",
        "first.total(first.fitted()) + second.total(second.fitted())",
        (
            "inference/test_mixture.py"
            "::test_the_fit_lowers_the_loss_and_scores_halves_with_the_other",
        ),
    ),
    Weakening(
        "ngram-ids-outside-the-vocabulary",
        "charrnn/checkpointing/mixture_file.py",
        "if int(ids.max()) >= len(vocabulary):",
        "if not len(vocabulary):",
        ("checkpointing/test_mixture_file.py::test_a_flaw_is_named_in_one_line",),
    ),
    Weakening(
        "compressed-files-of-another-counted-text",
        "charrnn/compression/mixture_coding.py",
        'digest.update(record.ids.astype("<u4").tobytes())',
        "digest.update(bytes(record.order))",
        ("compression/test_mixture_coding.py::test_another_mixture_is_refused",),
    ),
)

LABELS = (
    Weakening(
        "end-of-a-round-not-validated",
        "charrnn/training_config.py",
        " or self.step in config.completed_plans",
        "",
        (
            "training/test_pair_budget.py::test_the_end_of_every_round_is_validated",
            "cli/train/test_rounds.py::test_the_options_of_a_run_in_rounds_repeat_it",
        ),
    ),
    Weakening(
        "split-of-a-merged-model-by-seed-0",
        "charrnn/cli/report/run_data.py",
        "hidden=max(1, checkpoint.config.hidden // networks)",
        "hidden=checkpoint.config.hidden",
        ("cli/train/test_networks.py::test_a_report_finds_the_pairs_that_were_held_out",),
    ),
    Weakening(
        "merged-model-without-its-gain-checked",
        "charrnn/cli/train/networks.py",
        "found.nats_per_symbol >= nats",
        "found.nats_per_symbol < 0",
        ("cli/train/test_networks.py::test_a_mean_that_is_no_better_is_not_used",),
    ),
    Weakening(
        "plans-of-further-networks-not-repeated",
        "charrnn/cli/train/networks.py",
        "return planned_again(first, number, given.steps, given.earlier_plans), None",
        "return plan_of_another(first, self.networks[0].step, number), None",
        ("cli/train/test_networks.py::test_minutes_are_shared_by_networks_and_repeated_exactly",),
    ),
    Weakening(
        "attention-to-padding",
        "charrnn/nn/attention.py",
        "np.copyto(alpha, MASKED, where=self.masked)",
        "np.copyto(alpha, alpha, where=self.masked)",
        ("nn/test_attention.py::test_more_padding_changes_no_prediction_and_no_gradient",),
    ),
    Weakening(
        "attention-to-another-rows-inputs",
        "charrnn/inference/readouts.py",
        "self._rows = self._rows[rows]",
        "self._rows = self._rows[: len(rows)]",
        ("inference/test_prompt_readers.py::test_each_answer_attends_to_its_own_input",),
    ),
    Weakening(
        "figure-of-labels-on-what-was-fitted",
        "charrnn/inference/label_mixture.py",
        "fitted = self.fit(slice(1 - own.start, None, 2), with_ngrams=with_ngrams)",
        "fitted = self.fit(own, with_ngrams=with_ngrams)",
        (
            "inference/test_label_mixture.py::test_a_fold_is_predicted_with_what_the_other_fold_says",
        ),
    ),
    Weakening(
        "ngrams-of-labels-that-do-not-help",
        "charrnn/inference/label_mixture.py",
        "if gains.mean() <= ERRORS * gains.std() / np.sqrt(len(gains)):",
        "if gains.mean() is None:",
        (
            "inference/test_label_mixture.py"
            "::test_counts_that_know_nothing_and_too_few_pairs_give_none",
        ),
    ),
    Weakening(
        "ngrams-of-labels-left-out-of-answers",
        "charrnn/cli/answer_writer.py",
        "answers_to(prompts, *network, self.beam, model.ngrams)",
        "answers_to(prompts, *network, self.beam, None)",
        ("cli/train/test_label_ngrams.py::test_every_use_of_the_run_answers_with_the_mixture",),
    ),
    Weakening(
        "counts-of-labels-beyond-memory",
        "charrnn/checkpointing/label_ngram_arrays.py",
        "if cells > MODEL_CELLS:",
        "if cells > MODEL_CELLS * 10**9:",
        (
            "checkpointing/test_label_ngram_arrays.py"
            "::test_counts_beyond_the_memory_of_a_model_are_refused",
        ),
    ),
)

WEAKENINGS = (
    *LABELS,
    *SAVING,
    *STRANGERS_FILES,
    *RUNS,
    *ENDINGS,
    *RESUME,
    *DIVERGENCE,
    *TERMINALS,
    *READING,
    *NUMBERS,
    *EXPORT,
    *REPORT,
    *MIXTURES,
)
"""Every weakening, by what it concerns."""
