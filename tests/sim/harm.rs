//! What goes wrong below a node: writes fail, the disk is full, files are damaged.

use wstream_record::ByteSize;

use super::run::Run;
use crate::sled::Disk;
use crate::sled::sim::Step;

impl Run {
    pub(super) fn fail_something(&mut self) {
        if !self.profile.faults {
            return;
        }
        match self.random.below(8) {
            0..4 => {
                let step = [Step::Put, Step::Flush, Step::Sync, Step::Write][self.random.below(4)];
                let well = u32::try_from(self.random.below(10)).unwrap();
                let lasting = self.random.below(4) == 0;
                self.say(format_args!(
                    "{step:?} fails after {well}, lasting {lasting}"
                ));
                self.node.disk.fail(step, well, lasting);
            }
            4 => {
                self.say(format_args!("the disk is full"));
                self.node.disk.set_free(ByteSize(10));
            }
            _ => self.heal(),
        }
    }

    pub(super) fn heal(&mut self) {
        self.say(format_args!("nothing fails"));
        self.node.disk.heal();
        self.node.disk.set_free(ByteSize::gib(1));
    }

    /// Damages a file.
    pub(super) fn damage_something(&mut self) {
        let names = self.node.disk.databases();
        if !self.profile.damage || names.is_empty() {
            return;
        }
        self.loss.told = true;
        let name = names[self.random.below(names.len())].clone();
        let disk = self.node.disk.clone();
        let values = disk.values(&name);
        let safe = usize::try_from(disk.safe(&name)).unwrap();
        match self.random.below(7) {
            0..3 if values > 0 => {
                let number = u32::try_from(self.random.below(usize::try_from(values).unwrap()));
                let number = number.unwrap();
                self.say(format_args!("{name} has a bad value {number}"));
                disk.damage(&name, number);
            }
            3 => {
                self.say(format_args!("{name} is lost"));
                disk.lose(&name);
            }
            4 if safe > 0 => {
                let number = u32::try_from(self.random.below(safe)).unwrap();
                self.say(format_args!("{name} hides what follows {number}"));
                disk.hide_from(&name, number);
                // What is written does not hide: this is found at a start.
                self.kill();
            }
            5 => {
                let file = ["conf", "db"][self.random.below(2)];
                self.say(format_args!("{name} has no {file}"));
                disk.remove_file(&name, file);
            }
            _ => self.damage_file(),
        }
    }

    /// Damages or removes a small file.
    fn damage_file(&mut self) {
        let files = self.node.disk.files();
        if files.is_empty() {
            return;
        }
        let file = files[self.random.below(files.len())].clone();
        let disk = self.node.disk.clone();
        let bytes = disk.read(&file).expect("it reads").unwrap_or_default();
        let how = self.random.below(3);
        self.say(format_args!("{file} is damaged, {how}"));
        let written = match how {
            0 => disk.remove(&file),
            1 => disk.write(&file, &bytes[..bytes.len() / 2]),
            _ => {
                let mut bytes = bytes;
                let at = self.random.below(bytes.len());
                bytes[at] ^= 1;
                disk.write(&file, &bytes)
            }
        };
        // It was made to fail: then nothing is damaged.
        drop(written);
    }
}
