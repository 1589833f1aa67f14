//! A vector in a Postgres memory context: freed with it, after an error too, and counted by the executor, so that a
//! hash aggregate over many groups knows when to spill.

use std::marker::PhantomData;

use pgrx::pg_sys;

/// Values of a type without a destructor.
pub struct PgVec<T: Copy> {
    data: *mut T,
    len: usize,
    capacity: usize,
    context: pg_sys::MemoryContext,
    holds: PhantomData<T>,
}

impl<T: Copy> PgVec<T> {
    /// Nothing is allocated before the first value.
    pub fn new_in(context: pg_sys::MemoryContext) -> Self {
        Self {
            data: std::ptr::null_mut(),
            len: 0,
            capacity: 0,
            context,
            holds: PhantomData,
        }
    }

    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len == self.capacity {
            self.grow(1);
        }
        // SAFETY: there is room for one more.
        unsafe { self.data.add(self.len).write(value) };
        self.len += 1;
    }

    pub fn extend(&mut self, values: &[T]) {
        if self.capacity - self.len < values.len() {
            self.grow(values.len());
        }
        // SAFETY: there is room, and the source is not part of this vector, which is borrowed mutably.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.data.add(self.len), values.len());
        };
        self.len += values.len();
    }

    /// Appends the values whose bytes these are, aligned or not.
    ///
    /// # Safety
    /// The bytes are those of valid values of `T`, as `as_bytes` gives them.
    pub unsafe fn extend_from_bytes(&mut self, bytes: &[u8]) {
        let count = bytes.len() / size_of::<T>();
        if self.capacity - self.len < count {
            self.grow(count);
        }
        // SAFETY: there is room, and bytes need no alignment.
        unsafe {
            let end = self.data.add(self.len).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), end, count * size_of::<T>());
        }
        self.len += count;
    }

    /// The values as they lie in memory.
    pub fn as_bytes(&self) -> &[u8] {
        let values = self.as_slice();
        // SAFETY: the types that are used, numbers and intervals (8 + 4 + 4 bytes), have no padding.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        const FEWEST: usize = 8;
        let capacity = (self.len + more).max(self.capacity * 2).max(FEWEST);
        // A size beyond what a machine has is Postgres's to refuse; it does so with an error.
        let size = capacity.saturating_mul(size_of::<T>());
        // SAFETY: the memory belongs to `context`, which lives as long as this vector.
        let data = unsafe {
            if self.data.is_null() {
                pg_sys::MemoryContextAllocHuge(self.context, size)
            } else {
                pg_sys::repalloc_huge(self.data.cast(), size)
            }
        };
        self.data = data.cast();
        self.capacity = capacity;
    }

    pub fn as_slice(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `len` values are written.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and the vector is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}
