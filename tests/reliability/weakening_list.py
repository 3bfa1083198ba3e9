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
        "        remove_stale_temporaries(path)\n",
        "        remove_stale_temporaries(path / 'nowhere')\n",
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
        "        if version > PAIR_FORMAT + 1:\n",
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
        "control-characters-in-a-field-name",
        CHECKS,
        "    return name if PLAIN_NAME.fullmatch(name) else format_value(name)\n",
        "    return name\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
    ),
    Weakening(
        "any-hash-accepted",
        CHECKS,
        "    if not SHA256.fullmatch(record.sha256):\n",
        "    if not record.sha256:\n",
        ("checkpointing/test_checkpoint.py::test_nonsense_is_refused_by_name",),
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
        "metrics-written-after-the-checkpoint",
        FOLDER,
        "        self.metrics.flush()\n        save_checkpoint(self.path / name, checkpoint)\n",
        "        save_checkpoint(self.path / name, checkpoint)\n        self.metrics.flush()\n",
        (
            "cli/train/test_resume.py::test_ten_interruptions_leave_no_trace",
            "cli/train/test_saves.py::test_a_kill_after_any_save_leaves_no_trace",
        ),
    ),
    Weakening(
        "cut-rows-kept",
        METRICS,
        "                os.ftruncate(self._descriptor, end)\n",
        "",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
    ),
    Weakening(
        "rows-lost-on-a-full-disk",
        METRICS,
        "            self.failure = error.strerror or type(error).__name__\n",
        "            self.failure = error.strerror or type(error).__name__\n"
        "            self._pending_rows.clear()\n",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
    ),
    Weakening(
        "failed-metrics-end-a-run",
        METRICS,
        "            self.failure = error.strerror or type(error).__name__\n            return\n",
        "            raise\n",
        (
            "cli/train/test_exits.py::test_metrics_that_cannot_be_written_wait_and_are_written_later",
        ),
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
        ("cli/train/test_resume.py::test_another_machine_is_told",),
    ),
    Weakening(
        "pipes-as-sources-opened",
        "charrnn/cli/runs/load_text.py",
        "Path(source).is_file() or Path(source).is_dir()",
        "Path(source).exists()",
        ("cli/runs/test_load_text.py::test_pipes_and_devices_are_no_sources",),
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
        "        progress = replace(progress, best_nats=nats, best_step=step)\n",
        "        progress = replace(progress, best_nats=nats or progress.best_nats)\n",
        (
            "cli/train/test_saves.py::test_saves_that_fail_at_random_never_disagree_and_a_resumed_run_ends_well",
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
        (
            "cli/runs/test_run_records.py::test_rows_after_a_step_and_lines_that_are_none_are_dropped",
            "cli/train/test_saves.py::test_a_kill_after_any_save_leaves_no_trace",
        ),
    ),
    Weakening(
        "stale-temporaries-take-a-name",
        FOLDER,
        "                remove_stale_temporaries(path)  # of",
        "                # of",
        ("cli/runs/test_run_folder.py::test_temporary_files_of_a_killed_run_are_removed",),
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
)

WEAKENINGS = (
    *SAVING,
    *STRANGERS_FILES,
    *RUNS,
    *ENDINGS,
)
"""Every weakening, by what it concerns."""
